"""The real Windows events that come with the package -> a table in the order of their arrival."""

from __future__ import annotations

from importlib.resources import as_file, files

import pyarrow as pa
import pyarrow.parquet as pq


def windows_events() -> pa.Table:
    """8,947 events of three Windows hosts, 3.5 minutes of 2020-10-09, as a collector received them.

    Recorded while WMI loads a hijacked library: the data set `covenant_wmi_wbemcomn_dll_hijack` of
    github.com/OTRF/Security-Datasets (MIT; the licence lies beside the file). `event_time` is when
    the host wrote an event, `received_time` when it was collected, both to the second: events of
    one host come out of order, up to 8 seconds late. `sysmon_time` (milliseconds), `process_guid`
    and `image` are those of Sysmon's events, else NULL.
    """
    with as_file(files("cep.datasets") / "windows_events.parquet") as path:
        return pq.read_table(path)
