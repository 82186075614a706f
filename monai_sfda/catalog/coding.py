"""Coded terms of the structures, as DICOM segmentations carry them.

The codes are those of DICOM PS3.16: categories of CID 7150; types of CID 7192 (anatomical structures), of CID
7194 (morphologically abnormal structures) and of the lists that these include; laterality of CID 244. Where a
structure is in none of them, its code says where it is from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SNOMED_CT = "SCT"
NCI_THESAURUS = "NCIt"


@dataclass(frozen=True)
class Code:
    """A coded term.

    Attributes:
        value: the code.
        meaning: what it means, for people.
        scheme: DICOM's name of the coding scheme.
    """

    value: str
    meaning: str
    scheme: str = SNOMED_CT


@dataclass(frozen=True)
class Coding:
    """What a structure is, in coded terms.

    Attributes:
        category: anatomical or morphologically abnormal structure.
        type: the structure.
        modifier: which side of the body; None where there is one alone.
        region: where in the body, for what is no part of the normal anatomy; None where it may be anywhere.
    """

    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None

    @property
    def mirrored(self) -> Coding:
        """The same on the other side of the body; itself without a side."""
        if self.modifier == LEFT:
            return replace(self, modifier=RIGHT)
        return replace(self, modifier=LEFT) if self.modifier == RIGHT else self


ANATOMICAL_STRUCTURE = Code("123037004", "Anatomical Structure")
ABNORMAL_STRUCTURE = Code("49755003", "Morphologically Abnormal Structure")
LEFT = Code("7771000", "Left")
RIGHT = Code("24028007", "Right")
BRAIN = Code("12738006", "Brain")


def anatomy(value: str, meaning: str, side: Code | None = None) -> Coding:
    """A structure of the normal anatomy, by its SNOMED CT code."""
    return Coding(ANATOMICAL_STRUCTURE, Code(value, meaning), modifier=side)


def lesion(value: str, meaning: str, scheme: str = SNOMED_CT, region: Code | None = None) -> Coding:
    """A structure of a disease."""
    return Coding(ABNORMAL_STRUCTURE, Code(value, meaning, scheme), region=region)
