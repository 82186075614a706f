"""Phantoms: whole subjects with labels, imaged by simulated scanners, in the official layouts of CHAOS and
BTCV (abdomen, MR and CT), MMWHS (heart, MR and CT), BraTS 2018 (brain with a glioma, four MR sequences) and
IVDM3Seg (spine, the four images of a Dixon examination).

`make_abdomen` draws a subject, `image_mr` and `image_ct` image it on any grid; `make_thorax`,
`image_heart_mr` and `image_heart_ct` do so for the heart, `make_brain` and `image_brain` for the brain,
`make_spine` and `image_spine` for the spine; `write_phantoms` writes data sets.

>>> anatomy = make_abdomen(7)
>>> image = image_ct(anatomy, ct_grid(1, 32), draw_ct_scanner(2), 3)
>>> image.array.shape == image.labels.shape
True
"""

from __future__ import annotations

from monai_sfda.phantom.anatomy import Anatomy, make_abdomen
from monai_sfda.phantom.brain_anatomy import Brain, make_brain
from monai_sfda.phantom.brain_mr import BrainImages, BrainScanner, draw_brain_scanner, image_brain
from monai_sfda.phantom.brain_tissues import BrainTissue, Grade, TumourLabel
from monai_sfda.phantom.brats import brats_grid, brats_subjects
from monai_sfda.phantom.btcv import btcv_files, write_btcv_subject
from monai_sfda.phantom.chaos import write_chaos_subject
from monai_sfda.phantom.ct import ContrastPhase, CtImage, CtScanner, draw_ct_scanner, image_ct
from monai_sfda.phantom.dataset import PHANTOM_TASKS, write_phantoms
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.heart_anatomy import Thorax, make_thorax
from monai_sfda.phantom.heart_ct import Angiography, draw_angiography, image_heart_ct
from monai_sfda.phantom.heart_grids import heart_ct_grid, heart_mr_grid
from monai_sfda.phantom.heart_mr import (
    HeartMrImage,
    HeartMrScanner,
    draw_heart_mr_scanner,
    image_heart_mr,
)
from monai_sfda.phantom.jobs import choose_subjects
from monai_sfda.phantom.mr import MrImage, MrScanner, draw_mr_scanner, image_mr
from monai_sfda.phantom.sampling import ct_grid, mr_grid
from monai_sfda.phantom.spine_anatomy import Spine, make_spine
from monai_sfda.phantom.spine_mr import SpineImages, SpineScanner, draw_spine_scanner, image_spine
from monai_sfda.phantom.spine_tissues import SpineLabel, SpineTissue
from monai_sfda.phantom.tissues import HeartLabel, Organ, Tissue

__all__ = [
    "PHANTOM_TASKS",
    "Anatomy",
    "Angiography",
    "Brain",
    "BrainImages",
    "BrainScanner",
    "BrainTissue",
    "ContrastPhase",
    "CtImage",
    "CtScanner",
    "Grade",
    "Grid",
    "HeartLabel",
    "HeartMrImage",
    "HeartMrScanner",
    "MrImage",
    "MrScanner",
    "Organ",
    "Spine",
    "SpineImages",
    "SpineLabel",
    "SpineScanner",
    "SpineTissue",
    "Thorax",
    "Tissue",
    "TumourLabel",
    "brats_grid",
    "brats_subjects",
    "btcv_files",
    "choose_subjects",
    "ct_grid",
    "draw_angiography",
    "draw_brain_scanner",
    "draw_ct_scanner",
    "draw_heart_mr_scanner",
    "draw_mr_scanner",
    "draw_spine_scanner",
    "heart_ct_grid",
    "heart_mr_grid",
    "image_brain",
    "image_ct",
    "image_heart_ct",
    "image_heart_mr",
    "image_mr",
    "image_spine",
    "make_abdomen",
    "make_brain",
    "make_spine",
    "make_thorax",
    "mr_grid",
    "write_btcv_subject",
    "write_chaos_subject",
    "write_phantoms",
]
