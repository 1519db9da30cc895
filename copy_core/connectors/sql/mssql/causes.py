"""What SQL Server's error numbers mean for a copy, and what to do about each. Pure.

Numbers and texts are those of sys.messages ("Database Engine events and errors"). Which pass by
themselves is told by "Troubleshoot transient connection errors in SQL Database", the
list of `SqlConfigurableRetryFactory` in Microsoft.Data.SqlClient, and the one of Entity Framework
Core's `SqlServerTransientExceptionDetector`.
"""

from __future__ import annotations

from typing import NamedTuple

from copy_core.errors import ConfigError, CopyJobError, TerminalError, TransientError


class Cause(NamedTuple):
    """What a group of errors has in common.

    Attributes:
        error: the class that tells how to recover.
        code: its code.
        what: the sentence; `{said}` stands for what the server said.
        fix: what the reader may change.
        numbers: the server's numbers.
        states: the SQLSTATEs that mean the same, where the server gives no number that is known.
        words: a pattern of what servers say for it, likewise.
    """

    error: type[CopyJobError]
    code: str
    what: str
    fix: str
    numbers: str = ""
    states: str = ""
    words: str = ""


CAUSES = (
    Cause(
        ConfigError,
        "login-failed",
        "the server refuses the login: {said}",
        "Correct `user`, `password` or `auth` of the connection, or give the identity a login",
        numbers="18450 18451 18452 18456 18457 18458 18470 18486 18487 18488 4064 4065",
        states="28000",
        words=r"login failed for user",
    ),
    Cause(
        ConfigError,
        "database-missing",
        "the database cannot be opened: {said}",
        "Correct `database` of the connection, or give the login a user in it",
        numbers="4060 911 942 40508",
        words=r"cannot open database|database .+ does not exist",
    ),
    Cause(
        ConfigError,
        "firewall",
        "the server's firewall keeps us out: {said}",
        "Allow this machine's address, or reach the server through its private endpoint",
        numbers="40615 40914 47073",
        words=r"is not allowed to access the server|deny public network access",
    ),
    Cause(
        ConfigError,
        "server-missing",
        "there is no such server: {said}",
        "Correct `server` of the connection",
        numbers="40531 40532",
    ),
    Cause(
        ConfigError,
        "kerberos",
        "Kerberos does not let us in: {said}",
        "Get a ticket with kinit or a keytab, or use another `auth`",
        words=r"sspi provider|kerberos|gssapi",
    ),
    Cause(
        ConfigError,
        "certificate",
        "the server's certificate is not trusted: {said}",
        "Give its issuer in `ca_file` or, for the whole process, SSL_CERT_FILE; and connect by a"
        " name that the certificate has",
        words=r"certificate verify failed|certificate chain|does not match host name"
        r"|unsupported protocol|no protocols available|(key|md) too (small|weak)|sigalg"
        r"|target principal name",
    ),
    Cause(
        ConfigError,
        "not-permitted",
        "a right is missing: {said}",
        "Give the login that right, or another login to the connection",
        numbers="229 230 262 297 300 371 916 1077 2557 2760 4834 8104 8189 15151 15247 15517 21050",
        words=r"permission (was )?denied|must be owner of|not have permission",
    ),
    Cause(
        ConfigError,
        "table-missing",
        "a table is gone, or cannot be seen by this login: {said}",
        "Correct the name of the table in the job, or give the login rights to it",
        numbers="208 1088 3701 4701 4902",
        states="42S02",
        words=r"invalid object name|cannot find the object"
        r"|(?<!of )(relation|table|view) (\"[^\"]*\"|\S+) does not exist",
    ),
    Cause(
        ConfigError,
        "column-missing",
        "a column is gone: {said}",
        "Correct the columns in the job, or run it again if the table was just changed",
        numbers="207 1911 4924",
        states="42S22",
        words=r"invalid column name"
        r"|column (\"[^\"]*\"|\S+) (of relation (\"[^\"]*\"|\S+) )?does not exist",
    ),
    Cause(
        ConfigError,
        "read-only",
        "the database or replica does not let us do this: {said}",
        "To write, connect to the primary replica, and make the database writable; to read, set"
        " `read_only` of the connection as the replica wants it",
        numbers="3906 3908 978 979",
    ),
    Cause(
        ConfigError,
        "snapshot-not-allowed",
        "the database does not allow snapshot isolation: {said}",
        "Run ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON",
        numbers="3952",
        words=r"snapshot isolation is not allowed",
    ),
    Cause(
        TransientError,
        "deadlock",
        "the server ended this transaction to resolve a deadlock",
        "If it goes on, run the job when others write less",
        numbers="1205 1211",
        states="40001",
        words=r"deadlock",
    ),
    Cause(
        TransientError,
        "lock-timeout",
        "another transaction holds a lock for too long",
        "End the other transaction; READ_COMMITTED_SNAPSHOT keeps readers and writers apart",
        numbers="1222",
        words=r"lock request time out|lock timeout",
    ),
    Cause(
        TransientError,
        "snapshot-conflict",
        "the snapshot that was read is no longer good: {said}",
        "If it goes on, run the job when the table's definition is not changed",
        numbers="601 2021 2816 3947 3948 3950 3957 3958 3959 3960 3961 3966 13535 41301 41302 "
        "41305 41325 41839 24556 24706",
        words=r"snapshot isolation transaction aborted|could not serialize access"
        r"|modified by a ddl statement|versioned row was not found|accessing version store"
        r"|due to data movement",
    ),
    Cause(
        TransientError,
        "transaction-lost",
        "the transaction was gone before its end: {said}",
        "If it goes on, look for a trigger that rolls back",
        numbers="266 3902 3903 3935 3941 3971 3989",
    ),
    Cause(
        TerminalError,
        "duplicate-column",
        "a table would have a column twice: {said}",
        "Rename one of them in the job, or run it again if the table was just changed",
        numbers="2705",
        states="42S21",
        words=r"column names in each table must be unique|specified more than once"
        r"|column (\"[^\"]*\"|\S+) of relation .+ already exists",
    ),
    Cause(
        TransientError,
        "already-exists",
        "something of that name was made meanwhile: {said}",
        "If it goes on, drop or rename what stands in the way",
        numbers="1913 2714",
        states="42S01",
        words=r"already an object named|already exists",
    ),
    Cause(
        TransientError,
        "busy",
        "the server has too much to do: {said}",
        "Lower `limits: parallel_tables` or `parallel_parts`, or give the server more resources",
        numbers="701 802 844 845 846 1204 1232 3635 8628 8645 8651 8657 9020 10928 10929 10936 "
        "14355 17197 17803 17809 17810 17830 17889 22335 22498 40501 40549 40550 40551 40553 "
        "40903 42029 45156 45157 45161 45168 49918 49919 49920 49977 49983",
        words=r"waiting for memory resources|memory grant|cannot obtain a lock resource"
        r"|session (is|has been) terminated because|service is currently busy"
        r"|not enough resources|too many (operations|connections)"
        r"|insufficient (system )?memory|resource id ?:",
    ),
    Cause(
        TransientError,
        "unavailable",
        "the database is not available now: {said}",
        "If it goes on, look at the state of the database; a paused one wakes within a minute",
        numbers="596 617 669 671 615 904 921 922 924 927 941 952 976 982 983 988 1203 1807 3449 "
        "3624 4221 4891 6005 8649 10922 10930 17142 17148 17187 17189 18401 18461 40020 "
        "40106 40135 40140 40143 40166 40189 40197 40540 40613 40627 40642 40648 40671 "
        "40675 40852 41640 42108 42109 45170 45179 45182 47132 49510 49802",
        words=r"is not currently available|encountered an error processing your request"
        r"|being recovered|shutdown is in progress|starting up|shutting down"
        r"|not yet accepting connections|session is in the kill state|not been recovered yet"
        r"|not in the primary or secondary role|not accessible for queries|lacks a quorum"
        r"|terminating connection",
    ),
    Cause(
        TerminalError,
        "corrupt",
        "the database is damaged: {said}",
        "Look at it with DBCC CHECKDB, and restore it from a backup",
        numbers="605 823 824 825 926 5242 5243 7105",
        words=r"logical consistency-based|attempt to fetch logical page",
    ),
    Cause(
        TransientError,
        "connection-lost",
        "the connection to the server broke: {said}",
        "If it goes on, check the network between here and the server",
        states="08001 08003 08004 08007 08S01 01002",
        words=r"communication link|tcp provider|closed connection"
        r"|connection (was |is )?(reset|refused|closed|broken)"
        r"|broken pipe|unexpected eof|i/?o error|os error \d+|connection timed out"
        # What is said of a call that a signal broke off.
        r"|unable to establish connection|did not supply an error",
    ),
    Cause(
        TransientError,
        "timeout",
        "the server did not answer in time: {said}",
        "If it goes on, check the server's load and the network to it",
        states="HYT00 HYT01",
        words=r"timeout expired|timed out",
    ),
    Cause(
        TerminalError,
        "log-full",
        "the transaction log has no room for this: {said}",
        "Back the log up, let it grow, or end the transaction that holds it; the next run goes on"
        " from here",
        numbers="9002 9001 40552",
        words=r"transaction log for database .* is full",
    ),
    Cause(
        TerminalError,
        "disk-full",
        "the database has no room left: {said}",
        "Add space or raise the limit; the next run goes on from here",
        numbers="1101 1105 1121 3257 5149 40544 8915",
        words=r"could not allocate space|reached its size quota|no space left",
    ),
    Cause(
        TerminalError,
        "too-long",
        "a value is longer than its column: {said}",
        "Make the column wider, or shorten the values at the source",
        numbers="1946 2628 8152",
        states="22001",
        words=r"would be truncated|value too long|exceeds schema size",
    ),
    Cause(
        ConfigError,
        "key-type",
        "no index takes these columns as its key: {said}",
        "Choose other keys in the job, or give the columns types and lengths that an index takes",
        numbers="1904 1919 1944",
    ),
    Cause(
        ConfigError,
        "key-partitions",
        "a unique index in the partitions of the table needs the column that divides them: {said}",
        "Add that column to the keys in the job, or create a unique index on the keys yourself, ON"
        " a filegroup",
        numbers="1908",
    ),
    Cause(
        TerminalError,
        "constraint",
        "a row breaks a rule of the table: {said}",
        "Correct the rows at the source, or the rule",
        numbers="515 530 547 1505 2601 2627 3726 4819 33504",
        states="23000",
        words=r"violation of .* constraint|conflicted with the|duplicate key|cannot insert "
        r"(the value null|null value)|null value in column|violates .* constraint",
    ),
    Cause(
        TerminalError,
        "conversion",
        "a value does not fit its type: {said}",
        "Correct the value at the source, or cast the column",
        numbers="220 235 237 241 242 244 245 246 248 295 296 298 517 535 1007 6522 8114 8115 "
        "8134 8169 8170 9803 9807 9819 6354 9402 9420",
        states="22003 22007 22008 22012 22018",
        words=r"conversion failed|arithmetic overflow|field overflow|divi(de|sion) by zero"
        r"|invalid input syntax|out of range|out-of-range",
    ),
    Cause(
        TerminalError,
        "trigger",
        "a trigger or procedure of the database refuses: {said}",
        "Correct the rows at the source, or the trigger",
        numbers="3609 3616 50000",
    ),
    Cause(
        TerminalError,
        "error-caught",
        "an error was caught that ends the transaction all the same: {said}",
        "Let the trigger or statement ask for what it expects, such as IF OBJECT_ID(...) IS NOT"
        " NULL, instead of trying and catching",
        numbers="3930 3998",
    ),
    Cause(
        TerminalError,
        "syntax",
        "the statement is wrong: {said}",
        "Correct the SQL in the job; if there is none, please report this with the log of the run",
        numbers="102 103 104 105 107 109 116 120 137 142 145 156 157 164 170 174 195 205 209 "
        "213 214 264 319 487 1033 2812 4104 4121 8120 8155 8156",
        states="42S12 37000",
        words=r"incorrect syntax|syntax error",
    ),
    Cause(
        TerminalError,
        "collation",
        "texts of two collations meet: {said}",
        "Add COLLATE to the query in the job",
        numbers="446 448 451 456 457 468",
    ),
)
"""From the most telling to the least: where words decide, the first that fits."""
