"""Stands in for a command that the server forks: it passes everything on, and ends as that ended.

Its arguments are the server's socket, the program, and the program's arguments. It imports nothing
but modules in C, because reading others would take longer than everything else it does.
"""

# The public modules of these names load enum, which takes as long again.
import _signal  # type: ignore[import-not-found]  # it has no stubs
import _socket
import posix
import sys

SERVER_GONE = 121
PASSED_ON = (
    *(_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2),
    *(_signal.SIGTERM, _signal.SIGCONT, _signal.SIGWINCH),
)


def opened(descriptor: int) -> bool:
    try:
        posix.fstat(descriptor)
    except OSError:
        return False
    return True


def main() -> None:
    standard = [each for each in range(3) if opened(each)]
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(sys.argv[1])
    packed = b"".join(each.to_bytes(4, sys.byteorder) for each in standard)
    mask = sum(1 << each for each in standard)
    server.sendmsg([bytes([mask])], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])

    def pass_on(number: int, _: object) -> None:
        try:
            server.send(bytes([number]))
        except OSError:
            return  # the command has just ended, and its end is read next

    for number in PASSED_ON:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, pass_on)
    for each in standard:  # so that the reader of a pipe sees its end when the command closes it
        posix.close(each)
    answer = server.recv(4)
    if not answer:
        posix._exit(SERVER_GONE)
    status = int.from_bytes(answer, sys.byteorder)
    if posix.WIFSIGNALED(status):
        number = posix.WTERMSIG(status)
        if number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)
    posix._exit(posix.WEXITSTATUS(status))


main()
