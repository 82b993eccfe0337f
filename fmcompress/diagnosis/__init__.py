"""What fmcompress finds on this machine, and what stands in its way: nothing of it leaves the machine."""

from fmcompress.diagnosis.machine import Finding as Finding
from fmcompress.diagnosis.machine import Status as Status
from fmcompress.diagnosis.machine import home_as_tilde as home_as_tilde
from fmcompress.diagnosis.machine import machine_findings
from fmcompress.diagnosis.machine import worst as worst
from fmcompress.diagnosis.packages import package_findings


def diagnose() -> list[Finding]:
    """Return what there is: Python, packages, the GPU, threads, memory and disks; it takes some seconds."""
    return [*machine_findings(), *package_findings()]
