# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: guest_agent
short_description: Run tasks in a virtual machine that has no network, through the QEMU guest agent
version_added: 0.1.0
author:
  - The netless.qga authors (@netless)
description:
  - Runs any module, unchanged, in a guest that has no network interface, over the channel of its QEMU guest agent.
  - The guest needs a C(qemu-guest-agent) that may run programs and use files, a POSIX shell, and Python for the modules
    that need it. It does not need an address, a key or a login.
  - Ansible copies files through the agent. It transfers standard input of any size and content, and up to 512 MiB each
    of standard output and standard error.
  - Ansible kills a command that is still running at O(exec_timeout) in the guest. It never repeats a command whose
    answer is lost, because the command may have been carried out.
requirements:
  - C(qemu-guest-agent) in the guest, with C(guest-exec), C(guest-exec-status) and C(guest-file-*) enabled.
  - Access to the endpoint on the controller.
  - The Python library C(libvirt) on the controller, if O(endpoint=libvirt).
options:
  endpoint:
    description:
      - Where Ansible reaches the guest's agent, in QEMU's notation.
      - V(libvirt) is the agent of a libvirt domain. libvirt itself talks to the agent. O(remote_addr) is the domain,
        and O(libvirt_uri) is its hypervisor.
      - V(libvirt:NAME) is another virtio channel of that domain, with a C(qemu-ga) of its own on it. Ansible opens it
        as a stream through libvirt. It is faster, and also works with any O(libvirt_uri).
      - V(unix:PATH) is the socket of a QEMU chardev, or of C(qemu-ga --method=unix-listen).
      - V(tcp:HOST:PORT) is a QEMU chardev that listens on a TCP port. Write IPv6 addresses in brackets, as in
        V(tcp:[::1]:4444).
      - V(vsock:CID:PORT) is C(qemu-ga --method=vsock-listen) in a guest of this host.
      - V(serial:DEVICE) is a terminal of QEMU or a real serial line, with C(qemu-ga --method=isa-serial) at the other
        end.
      - V(exec:COMMAND) is a program whose standard input and output lead to the agent, like the C(ProxyCommand) of ssh.
        Ansible splits the command into words as a shell does, and runs it without a shell.
      - A socket or serial line serves one client at a time. If another client holds it, Ansible waits up to O(timeout),
        then reports the host unreachable. Tasks of one user on one controller share it between their commands.
      - R(The guide to endpoints,ansible_collections.netless.qga.docsite.endpoints_guide) explains how to set up each of
        them.
    type: str
    default: libvirt
    ini:
      - section: netless_qga
        key: endpoint
    env:
      - name: ANSIBLE_QGA_ENDPOINT
      - name: QGA_ENDPOINT
    vars:
      - name: ansible_qga_endpoint
  remote_addr:
    description:
      - The virtual machine. If O(endpoint) is V(libvirt) or V(libvirt:NAME), this is the name or the UUID of its
        domain.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_libvirt_host
      - name: ansible_qga_host
  libvirt_uri:
    description:
      - The hypervisor of the domain, if O(endpoint) is V(libvirt) or V(libvirt:NAME). Any libvirt URI for QEMU works,
        like V(qemu:///system), V(qemu:///session), V(qemu+ssh://root@hypervisor/system) or
        V(qemu+tls://hypervisor/system).
      - With C(qemu+ssh), no one can answer questions of ssh, so add C(?no_tty=1) to the URI and use a key. The
        parameters C(keyfile), C(known_hosts_verify) and C(no_verify) of the URI are those of libvirt.
    type: str
    default: qemu:///system
    ini:
      - section: netless_qga
        key: libvirt_uri
    env:
      - name: LIBVIRT_DEFAULT_URI
      - name: ANSIBLE_QGA_LIBVIRT_URI
      - name: QGA_LIBVIRT_URI
    vars:
      - name: ansible_libvirt_uri
  remote_user:
    description:
      - The user that the agent runs as in the guest, normally V(root). No other user can log in through an agent. To
        act as another user, use become.
      - If you set this, Ansible checks it. If the agent runs as another user, Ansible runs nothing and reports the host
        unreachable, as over ssh when a login fails. Otherwise Ansible checks nothing.
    type: str
    ini:
      - section: defaults
        key: remote_user
    env:
      - name: ANSIBLE_REMOTE_USER
    vars:
      - name: ansible_user
      - name: ansible_qga_user
    cli:
      - name: user
    keyword:
      - name: remote_user
  executable:
    description:
      - The shell in the guest that runs the commands.
    type: str
    default: /bin/sh
    ini:
      - section: defaults
        key: executable
    env:
      - name: ANSIBLE_EXECUTABLE
      - name: QGA_EXECUTABLE
    vars:
      - name: ansible_qga_executable
  timeout:
    description:
      - Seconds that the agent may take until its first answer. This includes waiting for other tasks that use the same
        endpoint.
    type: float
    default: 10
    ini:
      - section: defaults
        key: timeout
      - section: netless_qga
        key: timeout
    env:
      - name: ANSIBLE_TIMEOUT
      - name: ANSIBLE_QGA_CONNECT_TIMEOUT
      - name: QGA_CONNECT_TIMEOUT
    vars:
      - name: ansible_timeout
      - name: ansible_qga_connect_timeout
    cli:
      - name: timeout
  reply_timeout:
    description:
      - Seconds that the agent may take to answer one of its own commands. This does not limit how long a program may
        run.
    type: float
    default: 30
    ini:
      - section: netless_qga
        key: reply_timeout
    env:
      - name: ANSIBLE_QGA_REPLY_TIMEOUT
      - name: QGA_REPLY_TIMEOUT
    vars:
      - name: ansible_qga_reply_timeout
  exec_timeout:
    description:
      - Seconds that one command may run, or one file transfer may take. After that, Ansible kills the command's process
        group in the guest.
      - If a command ends shortly before that, reading its output may take up to 30 seconds longer.
    type: float
    default: 86400
    ini:
      - section: netless_qga
        key: exec_timeout
    env:
      - name: ANSIBLE_QGA_EXEC_TIMEOUT
      - name: QGA_EXEC_TIMEOUT
    vars:
      - name: ansible_qga_exec_timeout
  transfer_chunk:
    description:
      - How many bytes of a file, or of standard input or output, Ansible sends through the agent at a time.
      - If you do not set this, Ansible uses a value that suits the endpoint.
    type: int
    ini:
      - section: netless_qga
        key: transfer_chunk
    env:
      - name: ANSIBLE_QGA_TRANSFER_CHUNK
      - name: QGA_TRANSFER_CHUNK
    vars:
      - name: ansible_qga_transfer_chunk
  persist:
    description:
      - Seconds for which a process on the controller keeps the channel to the agent open after its last use, as the
        C(ControlPersist) of ssh does. The next task, of this or of another play of the same user, uses the open
        channel.
      - If you do not set this, it is V(60) if O(endpoint) is V(libvirt), and V(5) for other endpoints, which serve one
        client at a time. A process of the same user that needs the channel gets it at once. Other clients wait.
      - V(0) opens the channel in each task, and starts no process.
    type: float
    ini:
      - section: netless_qga
        key: persist
    env:
      - name: ANSIBLE_QGA_PERSIST
      - name: QGA_PERSIST
    vars:
      - name: ansible_qga_persist
  become_success_timeout:
    description:
      - Seconds within which privilege escalation has to succeed if it asks for a password.
    type: int
    default: 10
    ini:
      - section: netless_qga
        key: become_success_timeout
    env:
      - name: ANSIBLE_QGA_BECOME_SUCCESS_TIMEOUT
      - name: QGA_BECOME_SUCCESS_TIMEOUT
    vars:
      - name: ansible_qga_become_success_timeout
  pipelining:
    description:
      - Whether Ansible sends a module to the standard input of Python instead of copying it to the guest first. This
        saves most of the time that a task takes in addition to the module itself. It works with C(sudo) whether or not
        C(sudo) asks for a password.
    type: bool
    default: true
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
      - section: netless_qga
        key: pipelining
    env:
      - name: ANSIBLE_PIPELINING
      - name: ANSIBLE_QGA_PIPELINING
      - name: QGA_PIPELINING
    vars:
      - name: ansible_pipelining
      - name: ansible_qga_pipelining
  warm:
    description:
      - Whether Ansible keeps a Python interpreter in the guest between the tasks of a play, and runs modules in forks
        of it. A task then costs what its module does, instead of starting Python and importing Ansible's libraries.
      - Everything that cannot run there for certain runs as if this was off.
      - R(The guide to warm execution,ansible_collections.netless.qga.docsite.warm_guide) explains what stays in the
        guest, and when to turn this off.
    type: bool
    default: true
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: warm
    env:
      - name: ANSIBLE_QGA_WARM
      - name: QGA_WARM
    vars:
      - name: ansible_qga_warm
  warm_excluded_modules:
    description:
      - The modules that never run in a kept interpreter, for example because they assume that theirs is a new one.
        These are full names like V(ansible.builtin.apt).
    type: list
    elements: str
    default: []
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: warm_excluded_modules
    env:
      - name: ANSIBLE_QGA_WARM_EXCLUDED_MODULES
      - name: QGA_WARM_EXCLUDED_MODULES
    vars:
      - name: ansible_qga_warm_excluded_modules
  warm_become_password:
    description:
      - Whether Ansible also keeps an interpreter that it has started through privilege escalation with a password.
        Ansible then gives the password once for each interpreter and not for each task.
    type: bool
    default: true
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: warm_become_password
    env:
      - name: ANSIBLE_QGA_WARM_BECOME_PASSWORD
      - name: QGA_WARM_BECOME_PASSWORD
    vars:
      - name: ansible_qga_warm_become_password
  remote_forwards:
    description:
      - Ports on the guest's loopback interface that lead to places which the controller can reach, as C(ssh -R) has
        them, each as V(PORT:HOST:HOSTPORT). With V(3128:proxy.example.com:3128), whatever connects to
        C(127.0.0.1:3128) in the guest is connected to port 3128 of C(proxy.example.com) from the controller.
      - The guest listens while a command of a task that has this option runs, and refuses connections afterwards.
        Every user and program in the guest can connect meanwhile, and reach these destinations and no others.
      - The guest needs Linux and Python 3.8 or later.
      - R(The guide to remote forwards,ansible_collections.netless.qga.docsite.forwards_guide) explains how it works,
        and what to consider.
    type: list
    elements: str
    default: []
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: remote_forwards
    env:
      - name: ANSIBLE_QGA_REMOTE_FORWARDS
      - name: QGA_REMOTE_FORWARDS
    vars:
      - name: ansible_qga_remote_forwards
  proxy_allow:
    description:
      - Destinations that programs in the guest reach through an HTTP proxy on the controller, while a command of a task
        that has this option runs. Each is V(HOST:PORT), for example V(mirror.example.com:80), V(*.example.org:443) for
        all names below C(example.org), V(192.0.2.7:80), V(192.0.2.0/24:80) or V([2001:db8::1]:443).
      - The proxy refuses all other destinations, and names whose addresses are not public, like those of private
        networks. To permit such a name, also list its address or network.
      - A task's environment has C(http_proxy), C(https_proxy) and C(no_proxy) for the proxy, unless the task sets the
        variable itself. C(no_proxy) has the names and addresses of the loopback interface.
      - The controller needs the Python library C(h11), and the guest what O(remote_forwards) needs.
      - R(The guide to remote forwards,ansible_collections.netless.qga.docsite.forwards_guide) has an example.
    type: list
    elements: str
    default: []
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: proxy_allow
    env:
      - name: ANSIBLE_QGA_PROXY_ALLOW
      - name: QGA_PROXY_ALLOW
    vars:
      - name: ansible_qga_proxy_allow
  proxy_port:
    description:
      - The port on the guest's loopback interface that the proxy of O(proxy_allow) has.
    type: int
    default: 3128
    version_added: 0.1.0
    ini:
      - section: netless_qga
        key: proxy_port
    env:
      - name: ANSIBLE_QGA_PROXY_PORT
      - name: QGA_PROXY_PORT
    vars:
      - name: ansible_qga_proxy_port
notes:
  - The agent gives its programs hardly any environment. Ansible adds E(HOME) and E(PATH) where they are missing. The
    working directory is the home directory and the umask is 022, as after a login.
  - Ansible shows no password, argument, standard input or output, and no file contents at any verbosity.
  - While a task runs, the guest keeps standard input and output of its commands in files of mode 0600 in C(/dev/shm),
    or in C(/run) or C(/tmp) if the agent cannot write there. Ansible removes them when the task ends, or when the play
    ends. A task fails if they could not take all of its output.
  - With C(-v), Ansible shows the size and the rate of large files every ten seconds, and when they are copied.
  - M(ansible.posix.synchronize) does not work over this connection, because rsync needs a transport of its own.
"""

import contextlib
import multiprocessing
import os
import typing as t

from ansible.errors import AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_not_negative, check_positive
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files, Progress, no_progress
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner, end_servers
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError
from ansible_collections.netless.qga.plugins.plugin_utils.errors import ansible_errors
from ansible_collections.netless.qga.plugins.plugin_utils.proxy_environment import add_proxy

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
    from ansible_collections.netless.qga.plugins.plugin_utils.become import Escalation

display = Display()

# What the numeric options count. Zero or less would let every task fail, after it was sent.
_UNITS = {
    "timeout": "seconds",
    "reply_timeout": "seconds",
    "exec_timeout": "seconds",
    "become_success_timeout": "seconds",
    "transfer_chunk": "bytes",
}

# For ending the interpreters that are kept in the guest, in seconds.
_RESET_TIMEOUT = 2.0


class Connection(ConnectionBase):
    """A connection to one guest, for as long as one task takes."""

    transport = "netless.qga.guest_agent"
    has_pipelining = True
    has_tty = False

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._agent: Agent | None = None
        self._runner: ProgramRunner | None = None
        self._user_checked = False
        add_proxy(self._shell, lambda: self.get_option("proxy_port") if self.get_option("proxy_allow") else None)

    @property
    def target(self) -> Target:
        """Return where the guest's agent is and how long to wait for it, from the options of this connection.

        :raises AnsibleError: the value of an option is not allowed.
        """
        with ansible_errors():
            for option, unit in _UNITS.items():
                value = self.get_option(option)
                if value is not None:
                    check_positive(option, value, unit)
            check_not_negative("persist", self.get_option("persist"))
        host = self.get_option("remote_addr")
        return Target(
            Address(self.get_option("endpoint"), host, self.get_option("libvirt_uri")),
            connect_timeout=self.get_option("timeout"),
            reply_timeout=self.get_option("reply_timeout"),
            chunk=self.get_option("transfer_chunk"),
            log=lambda line: display.vvvv(line, host=host),
            persist=self.get_option("persist"),
            owner=_ansible_process(),
        )

    def _connect(self) -> Connection:
        if not self._connected:
            with ansible_errors():
                self._agent = self._agent or self._make_agent()
                self._agent.sync(Deadline.after(self.get_option("timeout")))
                self._files = Files(self._agent)
                self._warm_runner = WarmRunner(
                    repr(self.target.address),
                    self._agent,
                    self._files,
                    self._programs,
                    cold_modules=self.get_option("warm_excluded_modules"),
                    log=self._log,
                )
            self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command line in the guest's shell."""
        self._connect()
        self._log(f"EXEC a command of {len(cmd)} bytes, {len(in_data or b'')} bytes of standard input")
        argv = [self.get_option("executable"), "-c", cmd]
        options: dict[str, t.Any] = {"deadline": self._exec_deadline()}
        with ansible_errors(), self._forwarding(options["deadline"]):
            options["user"] = None if self._user_checked else self.get_option("remote_user")
            result = self._run_warm(argv, in_data, self._escalation(sudoable), options)
            if result is None:
                result = self._run_cold(argv, in_data or b"", self._escalation(sudoable), options)
        self._user_checked = True
        self._log(f"EXEC ended with {result.rc}: {len(result.stdout)} bytes out, {len(result.stderr)} bytes err")
        return result.rc, result.stdout, result.stderr

    def _forwarding(self, deadline: Deadline) -> contextlib.AbstractContextManager[None]:
        """Return what has the guest listen on the ports of the remote forwards and the proxy while a command runs."""
        forwards, allowed = self.get_option("remote_forwards"), self.get_option("proxy_allow")
        if not forwards and not allowed:
            return contextlib.nullcontext()
        # Nothing runs in the guest as another user than the task asks for.
        self._check_user()
        # Most tasks do not need it, and Ansible compiles what a task imports in each task.
        from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import parse_listeners
        from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.forwarder import Forwarder

        # The items of a loop share a connection, and may have other forwards each.
        forwarder = Forwarder(
            repr(self.target.address),
            t.cast(Agent, self._agent),
            self._files,
            parse_listeners(forwards, allowed, self.get_option("proxy_port")),
            log=self._log,
            warn=display.warning,
        )
        return forwarder.running(deadline)

    def _programs(self) -> ProgramRunner:
        """Return what runs programs without a kept interpreter."""
        if self._runner is None:
            # Most tasks do not need it, and Ansible compiles what a task imports in each task.
            from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner

            self._runner = ProgramRunner(t.cast(Agent, self._agent), self._files, display.warning)
        return self._runner

    def _run_cold(
        self, argv: list[str], stdin: bytes, escalation: Escalation | None, options: dict[str, t.Any]
    ) -> CompletedProcess:
        handler = escalation.answer if escalation and escalation.asks else None
        result = self._programs().run(argv, stdin=stdin, prompt_handler=handler, **options)
        return escalation.finish(result) if escalation else result

    def _run_warm(
        self, argv: list[str], program: bytes | None, escalation: Escalation | None, options: dict[str, t.Any]
    ) -> CompletedProcess | None:
        """Run a module in an interpreter that is kept in the guest; return None if it has to be started for it."""
        if not program or not self.get_option("warm"):
            return None
        handler = escalation.answer if escalation and escalation.asks else None
        if handler and not self.get_option("warm_become_password"):
            return None
        key = "\0".join([self.get_option("remote_user") or "", *argv])
        if escalation:
            key = escalation.without_random_text(key)
        return self._warm_runner.run(argv, program, key=key, prompt_handler=handler, **options)

    def _escalation(self, sudoable: bool) -> Escalation | None:
        """Return the escalation of one run of the command: it answers each prompt once."""
        if sudoable and self.become and self.become.success:
            from ansible_collections.netless.qga.plugins.plugin_utils.become import Escalation

            return Escalation(self.become, self.get_option("become_success_timeout"))
        return None

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the guest."""
        self._connect()
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound(f"the controller has no file {in_path}")
        self._log(f"PUT {in_path} ({os.path.getsize(in_path)} bytes) TO {out_path}")
        self._check_user()
        with ansible_errors(), self._progress(f"PUT {out_path}", os.path.getsize(in_path)) as progress:
            self._files.put(in_path, out_path, deadline=self._exec_deadline(), progress=progress)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the guest."""
        self._connect()
        self._log(f"FETCH {in_path} TO {out_path}")
        self._check_user()
        with ansible_errors(), self._progress(f"FETCH {in_path}") as progress:
            self._files.get(in_path, out_path, deadline=self._exec_deadline(), progress=progress)

    @contextlib.contextmanager
    def _progress(self, action: str, total: int | None = None) -> t.Iterator[Progress]:
        """Show the progress of a large file at ``-v``: provide what takes the number of bytes that are copied."""
        if not display.verbosity:
            yield no_progress
            return
        from ansible_collections.netless.qga.plugins.plugin_utils.transfer_progress import TransferProgress

        host = self.get_option("remote_addr")
        progress = TransferProgress(action, lambda line: display.v(line, host=host), total)
        yield progress.update
        progress.finish()

    def close(self) -> None:
        """Remove the task's files from the guest, and close the channel."""
        if self._connected:
            self._connected = False
            if self._runner is not None:
                self._runner.close()
                self._runner = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self._user_checked = False

    def reset(self) -> None:
        """Close the connection, also in the process that keeps it open, and end the guest's interpreters."""
        self.close()
        with contextlib.closing(self._make_agent()) as agent:
            # A guest that does not answer is about to restart, or has restarted, and has no interpreters left then.
            with contextlib.suppress(QgaError):
                agent.sync(Deadline.after(_RESET_TIMEOUT))
                end_servers(repr(self.target.address), agent)
            with ansible_errors():
                agent.drop()

    def transport_test(self, connect_timeout: int) -> None:
        """Check that an agent answers, for wait_for_connection.

        :param connect_timeout: seconds that it may take.
        :raises AnsibleConnectionFailure: no agent answers.
        """
        self.close()
        with ansible_errors():
            agent = self._make_agent()
            try:
                agent.sync(Deadline.after(connect_timeout))
            finally:
                agent.close()

    def _make_agent(self) -> Agent:
        # Importing jsonschema takes longer than all the rest, and the connection checks what it relies on itself.
        return self.target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)

    def _check_user(self) -> None:
        if not self._user_checked and self.get_option("remote_user"):
            options = {"deadline": self._exec_deadline(), "user": self.get_option("remote_user")}
            with ansible_errors():
                self._run_cold([self.get_option("executable"), "-c", "true"], b"", None, options)
            self._user_checked = True

    def _exec_deadline(self) -> Deadline:
        return Deadline.after(self.get_option("exec_timeout"))

    def _log(self, line: str) -> None:
        display.vvv(line, host=self.get_option("remote_addr"))


def _ansible_process() -> int:
    """Return the process ID of the Ansible process that runs the play: a worker's parent, or this process."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid
