"""What the bundles' configurations run. Importing it makes the last line of a failed run ours."""

from monai_sfda.processes import end_processes, local_device, start_processes
from monai_sfda.workflow import error_line
from monai_sfda.workflow.configuration import choose_task, start
from monai_sfda.workflow.report import report_of_run
from monai_sfda.workflow.source import train
from monai_sfda.workflow.target import adapt
from monai_sfda.workflow.with_source import adapt_with_source, network_for, section_for

error_line.install()

__all__ = [
    "adapt",
    "adapt_with_source",
    "choose_task",
    "end_processes",
    "local_device",
    "network_for",
    "report_of_run",
    "section_for",
    "start",
    "start_processes",
    "train",
]
