"""The demonstration itself: Orthanc with the studies, the server beside it, and where to look."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

from rich.console import Console

from monai_sfda.errors import SettingError
from monai_sfda.label.demo.orthanc import Orthanc, missing, started_orthanc
from monai_sfda.label.demo.preparing import DemoSettings, Prepared, prepare_demo
from monai_sfda.label.demo.processes import LOOPBACK, free_port
from monai_sfda.label.demo.serving import Server, serving
from monai_sfda.workflow.console import announcing, make_console
from monai_sfda.workflow.steps import exclusive

_LOOK_SECONDS = 1.0


def run_demo(
    out: Path, settings: DemoSettings, *, port: int = 8000, pacs_port: int = 8042, bundles: Path | None = None
) -> None:
    """Prepares, starts Orthanc and the server on loopback, prints the addresses, and waits for Ctrl-C.

    Args:
        out: folder for everything; used again, nothing is made twice.
        settings: what is shown.
        port, pacs_port: of the server and of Orthanc; where somebody listens there already, free ones.
        bundles: folder of bundles to install; None trains a source model.

    Raises:
        SettingError: when Orthanc is not installed, or the folder is that of another demonstration.
        SfdaError: when Orthanc or the server does not start, or ends by itself.
    """
    absent = missing()
    if absent:
        raise SettingError(f"the demonstration needs Orthanc: {absent}", remedy="install it and try again")
    console = make_console()
    console.print(
        "[bold]monai_sfda app demo[/bold]: phantom studies, on this machine alone. Not for diagnosis."
    )
    out.mkdir(parents=True, exist_ok=True)
    _interrupt_once()
    with exclusive(out, lambda: console.print("waiting: another demonstration uses this folder")):
        with announcing(console) as announce:
            prepared = prepare_demo(out, settings, bundles, announce)
        with (
            console.status("starting Orthanc") as status,
            started_orthanc(out / "orthanc", port=_port(pacs_port)) as orthanc,
        ):
            if orthanc.get("/statistics")["CountInstances"] < len(list(prepared.studies.rglob("*.dcm"))):
                orthanc.store_folder(prepared.studies)
            status.update("starting the server (its libraries take half a minute)")
            options = ["--bundles", str(prepared.bundles)]
            with serving(orthanc.dicomweb, out / "home", options=options, port=_port(port)) as server:
                status.stop()
                _print_addresses(console, server, orthanc, prepared)
                while True:
                    time.sleep(_LOOK_SECONDS)
                    server.process.check()
                    orthanc.process.check()


def _print_addresses(console: Console, server: Server, orthanc: Orthanc, prepared: Prepared) -> None:
    def line(title: str, text: str) -> None:
        console.print(f"  {title:<28}{text}", highlight=False, soft_wrap=True)

    console.print("\n[bold]Ready.[/bold] Ctrl-C ends both.\n")
    line("OHIF, first study", f"{server.url}/ohif/monai-label?StudyInstanceUIDs={prepared.first_study}")
    line("OHIF, list of studies", f"{server.url}/ohif/")
    line("in OHIF's MONAI Label panel", f"Server: {server.url}/ , then the button beside it")
    line("3D Slicer, MONAI Label", f"MONAI Label server: {server.url}")
    line("versions, jobs, sign-off", f"{server.url}/sfda/")
    line("server", f"{server.url}/")
    line("PACS (Orthanc)", f"{orthanc.url}/app/explorer.html")
    line("PACS, DICOMweb", orthanc.dicomweb)
    console.print()


def _port(wanted: int) -> int:
    """The port, or a free one where somebody listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return free_port()
    return wanted


def _interrupt_once() -> None:
    """SIGTERM ends the demonstration as Ctrl-C does; another one while it ends changes nothing."""
    seen: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
