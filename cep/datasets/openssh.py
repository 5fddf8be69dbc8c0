"""The real SSH logins that come with the package -> a table."""

from __future__ import annotations

from importlib.resources import as_file, files

import pyarrow as pa
import pyarrow.parquet as pq


def openssh_logins() -> pa.Table:
    """4,420 events of one server's OpenSSH log, 2017-03-27 to 2017-04-20, in order of `ts`, `id`.

    Real logins and real attacks, parsed from `auth.log` of github.com/elastic/examples (Apache-2.0;
    the licence lies beside the file). Times have a resolution of one second, so ties are common.
    The usual key is `conn_ip`, the address at the other end of the connection; 65 events of the
    server itself have none. `event_type` is one of failed_password, failed_none, accepted_password,
    accepted_publickey, disconnect, conn_closed, too_many_failures and others.
    """
    with as_file(files("cep.datasets") / "openssh_logins.parquet") as path:
        return pq.read_table(path)
