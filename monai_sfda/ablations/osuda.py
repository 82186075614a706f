"""Ablations of paper 3: Liu et al., "Adapting Off-the-Shelf Source Segmenter" (OSUDA)."""

from __future__ import annotations

from typing import Any

from monai_sfda.ablations.definitions import Ablation, Arm


def _osuda(title: str, folder: str, **settings: Any) -> Arm:
    return Arm(title, folder, "osuda", {"method_settings": settings})


TASKS = ("brain_modality", "brain_grade")

ABLATIONS = (
    Ablation(
        "osuda",
        "OSUDA and its parts",
        "OSUDA without channel weighting (AC), without entropy (SE: the statistics alone adapt, since "
        "nothing else moves the weights), and with a share of the source in the statistics that stays: all "
        "of it, or half.",
        "Tables 1 and 2 (BraTS 2018, Dice and Hausdorff in mm, overall). HGG to LGG, four channels: source "
        "only 58.44 and 41.7, OSUDA 61.94 and 25.6, OSUDA-AC 60.75 and 26.5, OSUDA-SE 60.78 and 26.4. T2 to "
        "T1, FLAIR, T1ce, one channel: source only 22.6 and 46.8, OSUDA 57.8 and 19.9, OSUDA-AC 56.7 and "
        "21.0, OSUDA-SE 56.6 and 20.7. No number for eta without decay.",
        TASKS,
        (
            Arm("OSUDA (default)", "osuda", "osuda"),
            _osuda("OSUDA-AC, no channel weighting", "osuda_no_weighting", channel_weighting=False),
            _osuda("OSUDA-SE, no entropy", "osuda_no_entropy", entropy=False),
            _osuda("OSUDA, eta stays 1: the source's statistics", "osuda_eta_1", eta_decay=False),
            _osuda("OSUDA, eta stays 0.5", "osuda_eta_half", eta_decay=False, eta_0=0.5),
        ),
    ),
)
