"""Which process holds a port, for an error message that helps. Looked up only when a start has failed already."""

from __future__ import annotations


def who_listens(port: int) -> str:
    """`process 4711 (python -m rain.server)`, or "" where the system does not tell."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline()[:3])
                return f"process {connection.pid} ({command})"
    except psutil.Error:
        return ""
    return ""
