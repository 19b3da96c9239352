"""What the jobs of the container tests share. Runs inside the container, as root, under Debian's Python; Linux only.

Installs the units as a package would, puts a provisioned camera (bound at ``/job/camera``) into its places, and asks systemd.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

JOB, SHIPPED = Path("/job"), Path("/checkout/systemd")
STATE, KEYS, LINK = Path("/var/lib/oathcam"), Path("/var/lib/oathcam-keys"), Path("/var/lib/oathcam-link")
CONFIG = Path("/etc/oathcam")
OPEN = (Path("/etc/open"), Path("/usr/lib/open"), Path("/var/lib/open"))
"""Directories that everybody may write, so that only the sandbox can keep a probe from it."""


def sh(*command: str | Path, check: bool = True) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}{journal()}")
    return done.stdout


def journal() -> str:
    return sh("journalctl", "--no-pager", "--output=cat", "--unit=oathcamd", "--unit=oathcam-sync", "--unit=oathcam-sync.path", check=False)


def install() -> None:
    """Units, users and directories."""
    units = Path("/usr/lib/systemd/system")
    for unit in ("oathcamd.service", "oathcam-sync.service", "oathcam-sync.path"):
        shutil.copy(SHIPPED / unit, units)
    shutil.copy(SHIPPED / "oathcam.sysusers", "/usr/lib/sysusers.d/oathcam.conf")
    shutil.copy(SHIPPED / "oathcam.tmpfiles", "/usr/lib/tmpfiles.d/oathcam.conf")
    sh("systemd-sysusers")
    sh("systemd-tmpfiles", "--create", "oathcam.conf")
    # A container has no clock of its own: the host's is not for a test to set, so the right to set it is not there to be given.
    drop_in("oathcamd.service", "[Service]\nAmbientCapabilities=\n", "no-clock.conf")


def provision() -> None:
    """The camera's files, each where the units expect it, each with its owner."""
    shutil.copytree(JOB / "camera", CONFIG)
    for name in ("device.key", "device.pem"):
        shutil.move(CONFIG / "keys" / name, KEYS)
        shutil.chown(KEYS / name, "oathcam", "oathcam")
    for name in ("link.key", "link.crt"):
        shutil.move(CONFIG / "link" / name, LINK)
        shutil.chown(LINK / name, "root", "oathcam-sync")
        (LINK / name).chmod(0o640)
    for name in ("card", "keys", "link", "run"):
        shutil.rmtree(CONFIG / name)


def drop_in(unit: str, text: str, name: str = "test.conf") -> None:
    directory = Path("/etc/systemd/system") / f"{unit}.d"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)
    sh("systemctl", "daemon-reload")


def show(unit: str, *names: str) -> dict[str, str]:
    """Properties as systemd states them."""
    lines = sh("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
    return dict(line.split("=", 1) for line in lines)


def wait(what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Ask until the answer is true; ``SystemExit`` with the journal when it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise SystemExit(f"not within {seconds} s: {what}\n{journal()}")


def fragments() -> list[str]:
    return sorted(path.name for path in STATE.glob("vault/*/*.m4s.p7m"))


def leaves(kind: str) -> list[dict[str, Any]]:
    """Leaves of a kind in the ledger's log; a checkpoint's line is not one, nor is one that is being written."""
    log = STATE / "ledger/log"
    lines = log.read_bytes().splitlines(keepends=True) if log.exists() else []
    rows = [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")]
    return [row for row in rows if row.get("type") == kind]


def report(**facts: Any) -> None:
    print(json.dumps(facts))  # noqa: T201


# --- scenarios ------------------------------------------------------------------------------------------------------


def network_of(pid: str) -> dict[str, Any]:
    """What a process could be reached through: listening or open sockets by protocol, and its interfaces."""
    directory = Path("/proc") / pid / "net"
    tables = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet")
    sockets = {name: len((directory / name).read_text().splitlines()) - 1 for name in tables if (directory / name).exists()}
    interfaces = [line.split(":")[0].strip() for line in (directory / "dev").read_text().splitlines()[2:]]
    return {"sockets": sockets, "interfaces": interfaces, "own_namespace": own_namespace(pid, "net")}


def own_namespace(pid: str, kind: str) -> bool:
    return (Path("/proc") / pid / "ns" / kind).readlink() != (Path("/proc/1/ns") / kind).readlink()


def rights_of(pid: str) -> dict[str, str]:
    """Rights as the kernel states them."""
    wanted = ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
    rows = dict(line.split(":\t", 1) for line in (Path("/proc") / pid / "status").read_text().splitlines() if ":\t" in line)
    return {name: rows[name].split()[0] for name in wanted}


def record() -> None:
    """Start as shipped, record (the script presses twice), stop: what systemd and the kernel say of it meanwhile."""
    install()
    provision()
    before = time.monotonic()
    sh("systemctl", "start", "oathcamd")
    start_s = time.monotonic() - before
    started = show("oathcamd", "ActiveState", "SubState", "MainPID", "Type", "User", "NRestarts")
    wait("a fragment on the card", fragments)
    status = wait("a status of the recording", lambda: "recording" in (text := show("oathcamd", "StatusText")["StatusText"]) and text)
    pid = started["MainPID"]
    facts = {"network": network_of(pid), "rights": rights_of(pid), "threads_of_others": visible_processes(pid)}
    facts |= {"memory": memory_of(pid), "told": told_from_outside()}
    owners = sorted({path.owner() for path in STATE.glob("vault/**/*")})
    core = [line.split()[4] for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file")]
    sh("systemctl", "stop", "oathcamd")
    stopped = show("oathcamd", "ActiveState", "Result", "NRestarts", "ExecMainStatus")
    shutil.copytree(STATE, JOB / "card")
    report(start_s=start_s, started=started, status=status, owners=owners, core=core, stopped=stopped, **facts)


def memory_of(pid: str) -> dict[str, Any]:
    """Whether the recorder's memory is locked, whether it may be, and who may look into it."""
    status = dict(line.split(":", 1) for line in (Path("/proc") / pid / "status").read_text().splitlines())
    limits = (Path("/proc") / pid / "limits").read_text().splitlines()
    limit = next(line.split()[3] for line in limits if line.startswith("Max locked memory"))
    owner = sh("nsenter", "--target", "1", "--mount", "stat", "--format=%U", f"/proc/{pid}/environ").strip()
    look = sh("setpriv", "--reuid=oathcam", "--clear-groups", "cat", f"/proc/{pid}/environ", check=False)
    return {
        "locked_kb": int(status["VmLck"].split()[0]),
        "rss_kb": int(status["VmRSS"].split()[0]),
        "limit": limit,
        "owner": owner,
        "seen": look,
    }


def told_from_outside() -> dict[str, Any]:
    """What `oathcam status` makes of the file of the service that runs, and who may read that."""
    path = wait("the status", lambda: (found := Path("/run/oathcam/status.json")).exists() and found)
    done = subprocess.run(
        ["python3", "-P", "-m", "tools.cli", "status", str(CONFIG / "oathcamd.toml"), "--json"], capture_output=True, text=True, check=False
    )
    return {
        "code": done.returncode,
        "mode": oct(path.stat().st_mode & 0o777),
        "owner": path.owner(),
        "said": json.loads(done.stdout or "null"),
    }


def visible_processes(pid: str) -> int:
    """How many other processes' entries the service sees in its /proc."""
    listing = sh("nsenter", "--target", pid, "--mount", "--setuid", "65534", "ls", "/proc").split()
    return sum(name.isdigit() for name in listing)


def killed() -> None:
    """Kill the recorder in mid-recording: systemd starts it again, and it closes what was open."""
    install()
    provision()
    sh("systemctl", "start", "oathcamd")
    wait("a fragment on the card", fragments)
    os.kill(int(show("oathcamd.service", "MainPID")["MainPID"]), signal.SIGKILL)
    wait("the second boot", lambda: len(leaves("boot")) == 2)
    wait("the closed recording", lambda: leaves("end"))
    wait("readiness", lambda: show("oathcamd", "ActiveState")["ActiveState"] == "active")
    facts = show("oathcamd", "ActiveState", "NRestarts")
    sh("systemctl", "stop", "oathcamd")
    report(**facts, boots=[leaf["previous"] for leaf in leaves("boot")], ends=[leaf["cause"] for leaf in leaves("end")])


def hung() -> None:
    """Stop the recorder's process without ending it: no progress, no feeding; systemd notices within the watchdog's time."""
    install()
    provision()
    drop_in("oathcamd.service", "[Service]\nWatchdogSec=3s\n")
    sh("systemctl", "start", "oathcamd")
    pid = show("oathcamd", "MainPID")["MainPID"]
    before = time.monotonic()
    wait("a fragment on the card", fragments)
    alive_s = time.monotonic() - before
    still = show("oathcamd", "MainPID")["MainPID"] == pid
    sh("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "oathcamd")
    before = time.monotonic()
    wait("the restart", lambda: show("oathcamd", "NRestarts")["NRestarts"] == "1")
    noticed_s = time.monotonic() - before
    wait("readiness", lambda: show("oathcamd", "ActiveState")["ActiveState"] == "active")
    facts = show("oathcamd", "ActiveState", "NRestarts")
    sh("systemctl", "stop", "oathcamd")
    said = [line for line in journal().splitlines() if "atchdog" in line]
    report(**facts, still=still, alive_s=alive_s, noticed_s=noticed_s, said=said, boots=[leaf["previous"] for leaf in leaves("boot")])


def stalled() -> None:
    """The daemon under its own unit, on a camera that stops delivering: it says so, tries, and is not killed for it."""
    install()
    provision()
    places = Path("/usr/local/bin")
    shutil.copy(JOB / "nspawn_inside.py", places)
    (places / "stalled").write_text(
        f"import sys\nsys.path.insert(0, {str(places)!r})\nimport nspawn_inside\nnspawn_inside.stalling_daemon()\n"
    )
    drop_in("oathcamd.service", "[Service]\nWatchdogSec=4s\nExecStart=\nExecStart=/usr/bin/python3 -I /usr/local/bin/stalled\n")
    sh("systemctl", "start", "oathcamd")
    pid = show("oathcamd", "MainPID")["MainPID"]
    wait("the fault", lambda: [leaf for leaf in leaves("fault") if leaf["port"] == "camera"])
    time.sleep(6)
    still = show("oathcamd", "MainPID")["MainPID"] == pid
    status = show("oathcamd", "StatusText")["StatusText"]
    sh("systemctl", "stop", "oathcamd")
    said = [line for line in journal().splitlines() if "atchdog" in line]
    steps = [leaf["step"] for leaf in leaves("escalation")]
    report(still=still, said=said, steps=steps, status=status, boots=[leaf["previous"] for leaf in leaves("boot")])


def stalling_daemon() -> None:
    """The recorder on a simulated camera that delivers for two seconds and then never again."""
    from firmware.boot import boot
    from firmware.config import load_config
    from hal.sim.boot import boot as power_on
    from hal.sim.timeline import SECOND
    from hal.sim.world import World

    config = load_config(CONFIG / "oathcamd.toml")
    world = World(time.time_ns(), realtime=True)
    hal = power_on(world, {"volume": str(config.state_directory), "keys": str(config.key_directory)})
    world.at(2 * SECOND, lambda: world.camera.stall_until(10**9 * SECOND))
    daemon = boot(hal, config)
    signal.signal(signal.SIGTERM, lambda *_: daemon.ask_shutdown("SIGTERM"))
    daemon.run()
    daemon.close()
    hal.close()


def steps() -> None:
    """What the supervisor's last two exit codes lead to, under the unit as shipped: the second ends this machine, and this job."""
    install()
    provision()
    for code in (70, 75):
        start = f"ExecStart=\nExecStart=/usr/bin/python3 -c 'import sys; sys.exit({code})'\n"
        drop_in("oathcamd.service", f"[Service]\nType=simple\nRestartSec=200ms\n{start}")
        sh("systemctl", "start", "oathcamd")
        time.sleep(2.5)
        found = show("oathcamd", "NRestarts", "OnFailure")
        (JOB / f"exit-{code}").write_text(f"{found['NRestarts']} {found['OnFailure']}")
        sh("systemctl", "stop", "oathcamd")
    report(still_up=True)


def probe_recorder() -> None:
    """Put a probe in the recorder's place, under its unit as shipped."""
    install()
    provision()
    _probe("oathcamd.service", "Type=oneshot\nRestart=no\nWatchdogSec=0\n")


def probe_sync() -> None:
    """The same for dock sync."""
    install()
    provision()
    recording = STATE / "vault/R-1"
    recording.mkdir(parents=True)
    (recording / "begin.json").write_text("{}")
    for path in (STATE / "vault", recording, recording / "begin.json"):
        shutil.chown(path, "oathcam", "oathcam")
        path.chmod(0o640 if path.is_file() else 0o750)
    _probe("oathcam-sync.service", "Type=oneshot\nRestart=no\n")


def _probe(unit: str, more: str) -> None:
    # Not from /job: that directory is the test's own, and closed to the service's user.
    places = Path("/usr/local/bin")
    shutil.copy(JOB / "nspawn_inside.py", places)
    (places / "probe").write_text(f"import sys\nsys.path.insert(0, {str(places)!r})\nimport nspawn_inside\nnspawn_inside.probe()\n")
    out = "StandardOutput=truncate:/job/stdout"
    for path in OPEN:
        path.mkdir()
        path.chmod(0o777)
    drop_in(unit, f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I /usr/local/bin/probe\n{more}{out}\n")
    sh("systemctl", "start", unit)


def attempt(action: Callable[[], object]) -> str:
    """ "done", or the name of the error that kept it from being done."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def open_socket(family: int) -> None:
    socket.socket(family, socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_DGRAM).close()


def probe() -> None:
    """Runs inside the sandbox: tries what a broken-into process would try."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def write(path: Path) -> str:
        return attempt(lambda: path.write_text("x"))

    def execute(directory: Path) -> str:
        copy = directory / "true"
        if (made := attempt(lambda: shutil.copy("/usr/bin/true", copy))) != "done":
            return f"no copy: {made}"
        copy.chmod(0o755)
        return attempt(lambda: subprocess.run([copy], check=True))

    spool = STATE / "sync/receipts"
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "packet": socket.AF_PACKET, "netlink": socket.AF_NETLINK}
    writable_executable = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    report(
        write={str(path): write(path / "probe") for path in (*OPEN, STATE, spool, KEYS, LINK)},
        execute={str(path): execute(path) for path in (STATE, Path("/tmp"), spool)},
        sockets={name: attempt(partial(open_socket, family)) for name, family in families.items()},
        memory=attempt(lambda: mmap.mmap(-1, 4096, prot=writable_executable)),
        clock=attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        namespace=attempt(lambda: call("unshare", 0x10000000)),
        mount=attempt(lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None)),
        root=attempt(lambda: os.setuid(0)),
        realtime=attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        disk=attempt(lambda: os.mknod(STATE / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 0))),
        devices=sorted(path.name for path in Path("/dev").iterdir() if path.name.startswith(("video", "media", "snd", "gpio"))),
        device_key=attempt(lambda: (KEYS / "device.key").read_bytes()),
        link_key=attempt(lambda: (LINK / "link.key").read_bytes()),
        vault=attempt(lambda: (STATE / "vault/R-1/begin.json").read_bytes()),
        spoil={
            name: attempt(action)
            for name, action in {
                "change": lambda: (STATE / "vault/R-1/begin.json").write_text("x"),
                "remove": lambda: (STATE / "vault/R-1/begin.json").unlink(),
                "add": lambda: (STATE / "vault/R-1/more").write_text("x"),
                "ledger": lambda: (STATE / "ledger").mkdir(),
            }.items()
        },
        supervisor=attempt(lambda: os.kill(1, 0)),
        others=sum(path.name.isdigit() for path in Path("/proc").iterdir()),
    )


def request() -> None:
    """The recorder's user asks; the path unit answers, takes the request away, and hears one that comes meanwhile."""
    install()
    provision()
    # The stand-in for the sync waits for a second request to be made while it runs, then ends.
    script = "echo run >>/var/lib/oathcam/sync/receipts/runs; while [ -e /run/oathcam/hold ]; do sleep 0.05; done"
    drop_in("oathcam-sync.service", f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{script}'\n")
    Path("/run/oathcam").mkdir(mode=0o750)
    shutil.chown("/run/oathcam", "oathcam", "oathcam")
    Path("/run/oathcam").chmod(0o755)
    sh("systemctl", "start", "oathcam-sync.path")
    hold, asked, runs = Path("/run/oathcam/hold"), Path("/run/oathcam/sync-request"), STATE / "sync/receipts/runs"
    idle = show("oathcam-sync.service", "ActiveState")["ActiveState"]
    hold.touch()
    asked.touch()
    wait("the first run", runs.exists)
    taken = not asked.exists()
    asked.touch()
    hold.unlink()
    wait("the second run", lambda: runs.read_text().count("run") == 2)
    wait("rest", lambda: show("oathcam-sync.service", "ActiveState")["ActiveState"] == "inactive")
    facts = {"owner": runs.owner(), "group": runs.group(), "mode": oct(runs.stat().st_mode & 0o7777)}
    report(idle=idle, taken=taken, left=asked.exists(), runs=runs.read_text().count("run"), **facts)


def docked() -> None:
    """Both services as shipped and a real dock on loopback: record, stop, dock, offload, receipt, release."""
    install()
    provision()
    config = CONFIG / "oathcamd.toml"
    shift = '"1.2 double_press", "3.2 press record 3200", "8 dock"'
    config.write_text(config.read_text().replace('"1.2 double_press"', shift))
    log = (JOB / "dock.log").open("wb")
    command = ["python3", "-P", "-m", "tools.cli", "dock", "/job/agency/dock", "--store", "/job/store", "--port", "7443"]
    command += ["--port-file", "/job/port"]
    station = subprocess.Popen(command, stdout=log, stderr=log)
    sh("systemctl", "start", "oathcamd", "oathcam-sync.path")
    wait("the end of the recording", lambda: leaves("end"))
    kept = sorted(path.name for path in STATE.glob("vault/*"))
    wait("the station", (JOB / "port").exists)
    wait("the dock", lambda: leaves("dock"))  # the recorder itself asks for the sync
    wait("the receipt", lambda: leaves("receipt"))
    wait("the release", lambda: leaves("release"))
    wait("rest", lambda: show("oathcam-sync.service", "ActiveState")["ActiveState"] == "inactive")
    result = show("oathcam-sync.service", "Result", "ExecMainStatus", "NRestarts")
    sh("systemctl", "stop", "oathcamd")
    station.terminate()
    station.wait()
    left = sorted(path.name for path in STATE.glob("vault/*"))
    stored = sorted({path.parent.name for path in (JOB / "store").rglob("manifest.json")})
    report(
        kept=kept,
        left=left,
        stored=stored,
        result=result,
        released=[leaf["recording"] for leaf in leaves("release")],
        said=journal().splitlines(),
    )
