"""What fmcompress finds on this machine, and what stands in its way: nothing of it leaves the machine."""

from fmcompress.diagnosis.machine import Finding as Finding
from fmcompress.diagnosis.machine import Status as Status
from fmcompress.diagnosis.machine import home_as_tilde as home_as_tilde
from fmcompress.diagnosis.machine import machine_findings
from fmcompress.diagnosis.machine import worst as worst
from fmcompress.diagnosis.native import native_finding
from fmcompress.diagnosis.packages import package_findings
from fmcompress.serve.native_library import status


def diagnose() -> list[Finding]:
    """Return what there is: Python, the native core, packages, the GPU, threads, memory and disks; takes seconds."""
    return [*machine_findings(), native_finding(status()), *package_findings()]
