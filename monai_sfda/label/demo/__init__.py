"""The app's demonstration on this machine alone: Orthanc as the PACS, phantom studies, the server."""
