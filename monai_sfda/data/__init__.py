"""Finding and reading scans: official layouts, datalists, plain folders; NIfTI, NRRD, MetaImage and DICOM."""
