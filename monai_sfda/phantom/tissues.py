"""The tissues that fill a phantom and the organs that are labelled in it."""

from __future__ import annotations

from enum import Enum, IntEnum, auto


class Tissue(Enum):
    """A material with one appearance for each imaging technique."""

    AIR = auto()
    SKIN = auto()
    SUBCUTANEOUS_FAT = auto()
    VISCERAL_FAT = auto()
    MUSCLE = auto()
    CORTICAL_BONE = auto()
    CANCELLOUS_BONE = auto()
    CARTILAGE = auto()
    DISC = auto()
    CEREBROSPINAL_FLUID = auto()
    SPINAL_CORD = auto()
    LUNG = auto()
    MYOCARDIUM = auto()
    ARTERIAL_BLOOD = auto()
    VENOUS_BLOOD = auto()
    PORTAL_BLOOD = auto()
    LIVER = auto()
    SPLEEN = auto()
    RENAL_CORTEX = auto()
    RENAL_MEDULLA = auto()
    URINE = auto()
    BILE = auto()
    PANCREAS = auto()
    ADRENAL = auto()
    GUT_WALL = auto()
    GUT_FLUID = auto()
    FAECES = auto()
    GUT_GAS = auto()
    PULMONARY_BLOOD = auto()


class Organ(IntEnum):
    """A labelled structure; the value is its label in the BTCV challenge (0 is background)."""

    BACKGROUND = 0
    SPLEEN = 1
    RIGHT_KIDNEY = 2
    LEFT_KIDNEY = 3
    GALLBLADDER = 4
    OESOPHAGUS = 5
    LIVER = 6
    STOMACH = 7
    AORTA = 8
    INFERIOR_VENA_CAVA = 9
    PORTAL_AND_SPLENIC_VEIN = 10
    PANCREAS = 11
    RIGHT_ADRENAL = 12
    LEFT_ADRENAL = 13


class HeartLabel(IntEnum):
    """A labelled structure of the heart, contiguous; `mmwhs.STORED_VALUES` has the challenge's values.

    Blood cavities are without their walls; papillary muscles belong to the left ventricle's cavity.
    """

    BACKGROUND = 0
    MYOCARDIUM = 1
    LEFT_ATRIUM = 2
    LEFT_VENTRICLE = 3
    ASCENDING_AORTA = 4
    RIGHT_VENTRICLE = 5
    RIGHT_ATRIUM = 6
    PULMONARY_ARTERY = 7
