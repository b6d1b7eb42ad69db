"""The ansible plugin against real hosts: real sshd, real ansible-runner, real users, processes and files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.lease_endpoints import host_port
from cli.demo.lab.host import HostLab
from market.errors import OcxError, Permanent, Temporary
from market.specs import canonical_document
from provisioner.plugin import Conflict, Connection, Order, State
from provisioner.plugins.ansible import AnsiblePlugin
from tests.provisioner.responding import answers, ask, question

SAY = """
    - name: Say how the tenant comes in
      ansible.builtin.set_stats:
        data:
          ocx_connection:
            {user: guest, port: 2222, host_key: ssh-ed25519 AAAA, details: {run: "{{ ocx_run }}"}}
"""
PLAYS = {
    "say": "",
    "count": """
    - name: Count this run
      ansible.builtin.raw: echo run >> /root/runs && sleep 2
""",
    "slow": """
    - name: Take long, unless told otherwise
      ansible.builtin.shell: echo run >> /root/runs && { test -e /root/fast || sleep 314159; }
""",
    "fail": """
    - name: Go wrong
      ansible.builtin.fail: {msg: "no disk in slot 7"}
""",
}
CLEANUP = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Say what was removed
      ansible.builtin.set_stats: {data: {ocx_evidence: {disks: 2, erased: 99.5, of: "{{ ocx_hostname }}"}}}
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostLab]:
    """Two hosts of their own; skipped where there cannot be any."""
    if (missing := HostLab.missing()) is not None:
        pytest.skip(f"the ansible plugin is not tried for real: {missing}")
    with HostLab(tmp_path_factory.mktemp("hosts"), hosts=2) as running:
        yield running


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of small playbooks: each of `PLAYS`, one that says nothing, one that cannot be parsed."""
    folder = tmp_path_factory.mktemp("project")
    for name, tasks in PLAYS.items():
        (folder / f"{name}.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:{tasks}{SAY}")
    (folder / "mute.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.meta: noop}]\n"
    )
    (folder / "broken.yml").write_text("- hosts: all\n  tasks: [{no.such.action: {}\n")
    (folder / "cleanup.yml").write_text(CLEANUP)
    return folder


@dataclasses.dataclass
class Site:
    """The hosts and a way to make plugins for them."""

    lab: HostLab
    project: Path
    folder: Path

    def plugin(self, setup: str = "say", state: str = "state", **more: Any) -> AnsiblePlugin:
        """An agent's plugin that sets up with one of the small playbooks."""
        products = {"small": {"setup": f"{setup}.yml", "cleanup": "cleanup.yml"}}
        project = {"project": str(self.project), "products": products}
        settings = self.lab.settings(state=self.folder / state, **{**project, **more})
        return AnsiblePlugin.from_settings(settings)

    def inside(self, path: str, host: str = "host-1") -> Path:
        """A path on a host."""
        return self.lab.root(host) / path.lstrip("/")

    def runs(self) -> int:
        """How often a play counted itself."""
        counted = self.inside("/root/runs")
        return len(counted.read_text().splitlines()) if counted.exists() else 0


@pytest.fixture
def site(lab: HostLab, project: Path, tmp_path: Path) -> Iterator[Site]:
    """The hosts, free."""
    found = Site(lab, project, tmp_path)
    yield found
    for host in lab.hosts:
        for path in ("/etc/ocx/lease.json", "/etc/ocx/release.wanted", "/root/runs", "/root/fast"):
            found.inside(path, host["name"]).unlink(missing_ok=True)


def order(
    key: str, host: str = "host-1", hostname: str = "node-1", public_key: str = "ssh-ed25519 AAAA"
) -> Order:
    """An order for one of the hosts."""
    return Order(key, host, hostname, (public_key,), 0, 3600)


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread; its result or error is appended to the list."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        except OcxError as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def sleepers() -> int:
    """How many processes anywhere are the long sleep of the slow play."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes().startswith(b"sleep\x00314159")
        except OSError:
            continue
    return found


def ssh(
    connection: Connection, key: Path, user: str, *command: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Log in as a stranger would; `more` are options of ssh."""
    known = key.with_suffix(".known")
    known.write_text(f"[{connection.host}]:{connection.port} {connection.host_key}\n")
    options = {"BatchMode": "yes", "UserKnownHostsFile": str(known), "IdentitiesOnly": "yes", **more}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    where = ["-p", str(connection.port), "-l", user, connection.host]
    argv = ["ssh", "-F", "none", *words, "-i", str(key), *where, *command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def tenant_key(tmp_path: Path) -> Path:
    """The tenant's private key; the public one lies beside it."""
    path = tmp_path / "tenant"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


# ---- the shipped role --------------------------------------------------------------------------------------


def test_the_ssh_host_is_handed_over_hardened_and_taken_back_empty(
    site: Site, tenant_key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    faster = {"ANSIBLE_PIPELINING": "1"}
    plugin = AnsiblePlugin.from_settings(site.lab.settings(state=site.folder / "state", environment=faster))
    public = tenant_key.with_suffix(".pub").read_text()
    ours = dataclasses.replace(order("ssh-1", hostname="lease-7", public_key=public), responder=True)
    connection = plugin.provision(ours)
    assert (connection.user, site.lab.servers("ssh-1")) == ("tenant", 1)
    assert "task 3: setup | Ensure the role has a folder only root may change" in caplog.text

    mine = (
        "id -un; hostname; touch /tmp/mine /var/tmp/mine; nohup sleep 1000 >/dev/null 2>&1 & mkdir /tmp/deep"
    )
    told = ssh(connection, tenant_key, "tenant", mine)
    assert told.stdout.split() == ["tenant", "lease-7"], told.stderr
    _nobody_else_comes_in(site, connection, tenant_key)
    guest = host_port(connection.details["guest"])
    born = ask(guest, question())["guest"]
    _a_second_run_changes_nothing(site, plugin, ours, connection)

    assert ask(guest, question())["guest"] == born
    secret = site.inside("/etc/ocx-ssh-host/responder")
    assert (secret.stat().st_mode & 0o777, secret.stat().st_uid) == (0o700, pwd.getpwnam("nobody").pw_uid)
    evidence = plugin.release("ssh-1")
    assert not answers(guest)
    found, left = evidence.facts["cleanup"]["found"], evidence.facts["cleanup"]["left"]
    assert found["processes"] >= 1 and found["files"] >= 2 and found["folders"] >= 2
    assert left == {"processes": 0, "files": 0, "queues": 0}
    assert canonical_document(evidence.facts) and len(evidence.facts["project_sha256"]) == 64
    for path in ("/tmp/mine", "/var/tmp/mine", "/home/tenant", "/etc/ocx-ssh-host", "/etc/ocx/lease.json"):
        assert not site.inside(path).exists(), path
    assert "tenant" not in site.inside("/etc/passwd").read_text()
    assert site.inside("/etc/hostname").read_text() == "host-1\n"
    assert not list(site.inside("/etc/ssh/sshd_config.d").iterdir())
    assert plugin.release("ssh-1") == evidence
    other = AnsiblePlugin.from_settings(site.lab.settings(state=site.folder / "another"))
    assert other.release("ssh-1") == evidence
    with pytest.raises(Permanent, match="released already"):
        other.provision(ours)


def _nobody_else_comes_in(site: Site, connection: Connection, tenant_key: Path) -> None:
    operator = Path(site.lab.settings()["ssh_private_key"]["file"])
    password = ssh(
        connection, tenant_key, "tenant", "true", PreferredAuthentications="password,keyboard-interactive"
    )
    assert "Permission denied (publickey)" in password.stderr
    assert "Permission denied" in ssh(connection, operator, "root", "true").stderr
    assert "Permission denied" in ssh(connection, operator, "tenant", "true").stderr
    host = site.lab.hosts[0]
    door = Connection(host["address"], host["port"], "root", host["host_key"])
    assert "Permission denied" in ssh(door, tenant_key, "tenant", "true").stderr
    weak = ssh(connection, tenant_key, "tenant", "true", KexAlgorithms="diffie-hellman-group14-sha256")
    assert "no matching key exchange method" in weak.stderr


def _a_second_run_changes_nothing(site: Site, plugin: AnsiblePlugin, ours: Order, first: Connection) -> None:
    """Let the setup run again, as after a crash just before its end."""
    mark = site.inside("/etc/ocx/lease.json")
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "phase": "building"}))
    assert plugin.provision(ours) == first
    [result] = (site.folder / "state/runs").glob("*-setup-2/result.json")
    assert json.loads(result.read_text())["changed"] == []


# ---- keys --------------------------------------------------------------------------------------------------


def test_a_lease_runs_from_free_to_wiped_and_others_keep_off(site: Site) -> None:
    plugin, other = site.plugin(), site.plugin(state="other")
    assert plugin.status("k-life").state is State.ABSENT
    connection = plugin.provision(order("k-life"))
    assert (connection.host, connection.port, connection.user) == ("127.0.0.1", 2222, "guest")
    status = other.status("k-life")
    assert (status.state, status.connection, status.local_id) == (State.READY, connection, "host-1")
    assert other.list_owned() == {"k-life": status}
    with pytest.raises(Conflict):
        other.provision(order("k-other"))
    with pytest.raises(Permanent, match="another hostname or other SSH keys"):
        other.provision(order("k-life", hostname="else"))
    with pytest.raises(Permanent, match="holds host-1"):
        other.provision(order("k-life", host="host-2"))
    assert other.provision(dataclasses.replace(order("k-life"), end=7200)) == connection
    evidence = other.release("k-life")
    assert evidence.facts["cleanup"] == {"disks": 2, "erased": "99.5", "of": "node-1"}
    assert evidence.local_id == "host-1" and canonical_document(evidence.facts)
    assert plugin.list_owned() == {} and plugin.release("k-life") == evidence
    with pytest.raises(Permanent, match="released already"):
        plugin.provision(order("k-life", host="host-2"))


def test_release_of_an_unknown_key_says_absent(site: Site) -> None:
    evidence = site.plugin().release("k-never")
    assert evidence.local_id is None and evidence.facts["absent"] is True


def test_two_processes_with_one_key_run_one_play(site: Site) -> None:
    first = in_thread(lambda: site.plugin("count").provision(order("k-two")))
    second = in_thread(lambda: site.plugin("count", state="other").provision(order("k-two")))
    for thread, _ in (first, second):
        thread.join(60)
    assert first[1] == second[1] and isinstance(first[1][0], Connection)
    assert site.runs() == 1


def test_two_keys_at_once_leave_the_machine_with_one(site: Site) -> None:
    calls = [
        in_thread(lambda key=key: site.plugin("count", key).provision(order(key))) for key in ("k-a", "k-b")
    ]
    for thread, _ in calls:
        thread.join(60)
    kinds = {type(result[0]) for _, result in calls}
    assert kinds == {Connection, Conflict} and site.runs() == 1


def test_a_killed_agent_takes_its_play_along_and_the_next_one_goes_on(site: Site) -> None:
    script = (
        "import json, sys; from provisioner.plugins.ansible import AnsiblePlugin\n"
        "from provisioner.plugin import Order\n"
        "settings, order = json.load(sys.stdin)\n"
        "AnsiblePlugin.from_settings(settings).provision(Order(**order))"
    )
    products = {"small": {"setup": "slow.yml", "cleanup": "cleanup.yml"}}
    settings = site.lab.settings(state=site.folder / "a", project=str(site.project), products=products)
    agent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True)
    assert agent.stdin is not None
    json.dump([settings, dataclasses.asdict(order("k-kill"))], agent.stdin)
    agent.stdin.close()
    until(lambda: sleepers() > 0)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    plugin = site.plugin("slow", state="b")
    assert plugin.status("k-kill").state is State.BUILDING
    site.inside("/root/fast").touch()
    assert plugin.provision(order("k-kill")).details["run"].endswith("-setup-2")
    assert (sleepers(), site.runs()) == (0, 2)


def test_a_release_stops_the_setup_that_runs(site: Site) -> None:
    thread, result = in_thread(lambda: site.plugin("slow").provision(order("k-stop")))
    until(lambda: sleepers() > 0)
    evidence = site.plugin(state="other").release("k-stop")
    thread.join(30)
    assert isinstance(result[0], Permanent) and "was released while" in str(result[0])
    assert evidence.local_id == "host-1" and sleepers() == 0


# ---- what goes wrong ---------------------------------------------------------------------------------------


def test_a_failing_setup_is_temporary_and_keeps_the_key_until_released(site: Site) -> None:
    plugin = site.plugin("fail")
    with pytest.raises(Temporary, match="no disk in slot 7"):
        plugin.provision(order("k-fail"))
    status = plugin.status("k-fail")
    assert status.state is State.FAILED and "no disk in slot 7" in status.detail
    assert site.plugin("say").provision(order("k-fail"))
    assert plugin.release("k-fail").local_id == "host-1"


def test_a_setup_that_says_nothing_is_permanent_and_told_what_to_say(site: Site) -> None:
    with pytest.raises(Permanent, match="ansible.builtin.set_stats.*ocx_connection"):
        site.plugin("mute").provision(order("k-mute"))


def test_a_cleanup_that_says_nothing_is_permanent_and_the_key_stays(site: Site) -> None:
    products = {"small": {"setup": "say.yml", "cleanup": "mute.yml"}}
    plugin = site.plugin(products=products)
    plugin.provision(order("k-mute-2"))
    with pytest.raises(Permanent, match="ocx_evidence"):
        plugin.release("k-mute-2")
    assert plugin.status("k-mute-2").state is State.RELEASING
    with pytest.raises(Temporary, match="still being wiped"):
        plugin.provision(order("k-next"))


def test_a_playbook_that_cannot_be_run_is_permanent(site: Site) -> None:
    with pytest.raises(Permanent, match="refused"):
        site.plugin("broken").provision(order("k-broken"))
    with pytest.raises(Permanent, match="there is no playbook"):
        site.plugin("nowhere").provision(order("k-nowhere"))
    assert site.lab.servers("k-nowhere") == 0


def test_a_setup_that_takes_too_long_is_ended(site: Site) -> None:
    with pytest.raises(Temporary, match="took longer"):
        site.plugin("slow", setup_timeout=4.0).provision(order("k-long"))
    assert sleepers() == 0


def test_a_machine_that_cannot_be_read_is_never_called_absent(site: Site) -> None:
    good = site.plugin()
    known = {machine.name for machine in good.inspect()}
    settings = site.lab.settings(state=site.folder / "state")
    settings["machines"][1]["port"] = 1
    plugin = AnsiblePlugin.from_settings(settings)
    for call in (plugin.list_owned, lambda: plugin.status("k-9"), lambda: plugin.release("k-9")):
        with pytest.raises(Temporary, match="host-2"):
            call()
    assert {machine.name for machine in plugin.inspect()} == known
    settings["machines"] = settings["machines"][1:]
    with pytest.raises(Temporary):
        AnsiblePlugin.from_settings(settings).inspect()
    settings["state"] = str(site.folder / "new")
    assert "host-2" in " ".join(AnsiblePlugin.from_settings(settings).check())


def test_another_host_key_than_the_pinned_one_is_not_trusted(site: Site) -> None:
    settings = site.lab.settings()
    settings["machines"][0]["host_key"] = site.lab.hosts[1]["host_key"]
    with pytest.raises(Temporary, match="host key is another one"):
        AnsiblePlugin.from_settings(settings).status("k-1")


# ---- secrets and strangers ---------------------------------------------------------------------------------


def test_secrets_show_in_no_file_log_argument_or_environment(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    private = Path(site.lab.settings()["ssh_private_key"]["file"]).read_text()
    monkeypatch.setenv("TEST_OPERATOR_KEY", private)
    planted = {"become": "hunter2-of-sudo", "vault": "hunter3-of-vault"}
    for name, secret in planted.items():
        (site.folder / name).touch(mode=0o600)
        (site.folder / name).write_text(secret)
    _encrypt(site.folder / "vault", site.project / "secret.yml", "inner: hunter4-inside\n")
    (site.project / "use.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  vars_files: [secret.yml]\n  tasks:\n"
        "    - ansible.builtin.command: {argv: [echo, '{{ inner }}']}\n      no_log: true\n"
        "    - ansible.builtin.fail: {msg: '{{ inner }}'}\n      no_log: true\n"
    )
    plugin = site.plugin(
        "use",
        ssh_private_key={"env": "TEST_OPERATOR_KEY"},
        become_password={"file": str(site.folder / "become")},
        vault_password={"file": str(site.folder / "vault")},
    )
    assert plugin.check() == []
    with (
        _Watcher([private.splitlines()[3], *planted.values()]) as watcher,
        pytest.raises(Temporary) as raised,
    ):
        plugin.provision(order("k-secret"))
    assert "no_log" in str(raised.value) and watcher.looks > 5
    assert watcher.seen == set()
    secrets = [private.splitlines()[3], *planted.values(), "hunter4-inside"]
    shown = caplog.text + str(raised.value) + site.inside("/etc/ocx/lease.json").read_text()
    for path in (site.folder / "state").rglob("*"):
        shown += path.read_text(errors="replace") if path.is_file() else ""
    assert [secret for secret in secrets if secret in shown] == []


def _encrypt(password: Path, path: Path, text: str) -> None:
    path.write_text(text)
    program = Path(sys.executable).with_name("ansible-vault")
    argv = [str(program), "encrypt", "--vault-password-file", str(password), str(path)]
    subprocess.run(argv, check=True, capture_output=True)


class _Watcher:
    """Looks at the arguments and environment of every process, again and again, except at its own."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets, self._stop = [secret.encode() for secret in secrets], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: set[str] = set()
        self.looks = 0

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        own = Path("/proc/self/cmdline").read_bytes()
        while not self._stop.wait(0.05):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if (process / "cmdline").read_bytes() not in (own, b""):
                        self._look(process)

    def _look(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            held = (process / name).read_bytes()
            if any(secret in held for secret in self._secrets):
                self.seen.add(f"{name} of {(process / 'comm').read_text()}")


def test_what_a_tenant_wrote_is_never_run_as_a_template(site: Site) -> None:
    trap = site.folder / "trapped"
    public_key = "ssh-ed25519 AAAA {{ lookup('pipe', 'touch " + str(trap) + "') }}"
    (site.project / "keys.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.copy:\n"
        f"        {{dest: /root/keys, content: '{{{{ ocx_ssh_public_keys | join }}}}'}}\n{SAY}"
    )
    site.plugin("keys").provision(order("k-trap", public_key=public_key))
    assert site.inside("/root/keys").read_text() == public_key and not trap.exists()


def test_check_finds_nothing_where_all_is_well_and_names_what_is_not(site: Site) -> None:
    assert site.plugin().check() == []
    plugin = site.plugin("broken", ssh_private_key={"file": str(site.folder / "no-such-key")})
    problems = plugin.check()
    assert len(problems) == 2
    assert "broken.yml cannot be run" in problems[0] and "no-such-key" in problems[1]


def test_only_the_newest_runs_are_kept(site: Site) -> None:
    plugin = site.plugin("broken", keep_runs=2)
    for _ in range(3):
        with pytest.raises(Permanent):
            plugin.provision(order("k-many"))
    assert sorted(path.name[-7:] for path in (site.folder / "state/runs").iterdir()) == ["setup-2", "setup-3"]


def test_the_lab_leaves_no_process_and_no_mount_behind_even_when_killed(tmp_path: Path) -> None:
    if (missing := HostLab.missing()) is not None:
        pytest.skip(missing)
    command = [sys.executable, "-m", "cli.demo.lab.host", "--dir", str(tmp_path), "--hosts", "1"]
    lab = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until((tmp_path / "hosts.json").exists)
    first_process = json.loads((tmp_path / "hosts.json").read_text())["hosts"][0]["pid"]
    lab.kill()
    lab.wait()
    until(lambda: not Path(f"/proc/{first_process}").exists())
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    shutil.rmtree(tmp_path)
