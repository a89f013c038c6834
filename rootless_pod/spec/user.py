"""Who the container's process is: looked up in the image's own /etc/passwd and /etc/group. HOT.

Source: podman 4.3.1 (probed) and runc's libcontainer/user for the rules of look-up.
"""

from __future__ import annotations

from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.linux.inroot import read_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ID = (1 << 32) - 2
KEEP_GROUPS = "keep-groups"


class User(Frozen):
    """A user of the container, in the container's ids.

    ``listed`` says whether the image's passwd has it; ``groups`` are the supplementary ones.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"
    shell: str = "/bin/sh"
    listed: bool = False
    group_listed: bool = False


class Accounts(Frozen):
    """The parsed rows of a passwd and a group file; a damaged row is left out."""

    passwd: tuple[tuple[str, ...], ...] = ()
    group: tuple[tuple[str, ...], ...] = ()


def read_accounts(rootfs: str) -> Accounts:
    """Read both files inside ``rootfs``; a missing one counts as empty.

    Raises:
        Refused: a file can't be read, or is absurdly long.
    """
    return Accounts(
        passwd=_rows(rootfs, "/etc/passwd", 6, (2, 3)),
        group=_rows(rootfs, "/etc/group", 3, (2,)),
    )


def _rows(rootfs: str, path: str, width: int, numbers: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
    try:
        text = read_in_root(rootfs, path)
    except OSError as cause:
        raise Refused(f"cannot read {path} of the container: {cause.strerror}") from cause
    rows = []
    for line in (text or "").splitlines():
        fields = tuple(line.strip().split(":"))
        if len(fields) >= width and all(_is_id(fields[position]) for position in numbers):
            rows.append(fields)
    return tuple(rows)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID


def find_user(accounts: Accounts, text: str, group_add: Sequence[str] = ()) -> User:
    """Look up ``name|uid[:group|gid]``; an empty text is root.

    A uid without a row is taken as it is (gid 0, home ``/``). Without a group, the groups that list the user by
    name come along; with one, only that one. ``group_add`` are names or gids.

    Raises:
        NotFound: a name has no row.
        Usage: a part is empty or no id.
    """
    user_text, separator, group_text = text.partition(":")
    if text and ((separator and not group_text) or ":" in group_text):
        raise Usage(f"--user {text!r} is not a user", remedy="write NAME|UID or NAME|UID:GROUP|GID")
    row = _find_row(accounts.passwd, user_text or "0", 2)
    if row is None and not _is_id(user_text or "0"):
        raise NotFound(
            f"unable to find user {user_text}: no matching entries in passwd file",
            remedy="use a name of the image's /etc/passwd, or a number",
            exit_code=126,
        )
    uid = int(row[2]) if row else int(user_text or "0")
    name = row[0] if row else ""
    groups: list[int] = []
    if group_text:
        gid = _find_group(accounts, group_text)
    else:
        gid = int(row[3]) if row else 0
        groups = [int(entry[2]) for entry in accounts.group if name and name in _members(entry)]
    if text:
        groups.insert(0, gid)
    groups += [_find_group(accounts, wanted) for wanted in group_add]
    return User(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys(groups)),
        name=name,
        home=(row[5] or "/") if row else "/",
        shell=(row[6] if row and len(row) > 6 and row[6] else "/bin/sh"),
        listed=row is not None,
        group_listed=_find_row(accounts.group, str(gid), 2) is not None,
    )


def _find_row(rows: tuple[tuple[str, ...], ...], wanted: str, number: int) -> tuple[str, ...] | None:
    """Return the first row with this name, or with this number where ``wanted`` is one."""
    plain = str(int(wanted)) if _is_id(wanted) else None
    for row in rows:
        if row[0] == wanted or (plain is not None and str(int(row[number])) == plain):
            return row
    return None


def _find_group(accounts: Accounts, text: str) -> int:
    row = _find_row(accounts.group, text, 2)
    if row is not None:
        return int(row[2])
    if not _is_id(text):
        raise NotFound(
            f"unable to find group {text}: no matching entries in group file",
            remedy="use a name of the image's /etc/group, or a number",
            exit_code=126,
        )
    return int(text)


def _members(row: tuple[str, ...]) -> list[str]:
    return row[3].split(",") if len(row) > 3 else []


def passwd_line(user: User, template: str, *, name: str = "", home: str = "/") -> str:
    """Return the row for a user the image does not list; ``template`` is that of ``--passwd-entry`` or "".

    Source: podman-run(1), --passwd-entry: $USERNAME, $UID, $GID, $NAME and $HOME are replaced.
    """
    login = name or str(user.uid)
    if not template:
        return f"{login}:*:{user.uid}:{user.gid}:container user:{home}:/bin/sh"
    values = {
        "$USERNAME": login,
        "$UID": str(user.uid),
        "$GID": str(user.gid),
        "$NAME": login,
        "$HOME": home,
    }
    return _filled(template, values)


def group_line(user: User, template: str, *, name: str = "") -> str:
    """Return the row for a primary group the image does not list ($GROUPNAME, $GID and $USERLIST are replaced)."""
    label = name or str(user.gid)
    if not template:
        return f"{label}:x:{user.gid}:{name or user.name}"
    return _filled(template, {"$GROUPNAME": label, "$GID": str(user.gid), "$USERLIST": name or user.name})


def _filled(template: str, values: dict[str, str]) -> str:
    if "\n" in template:
        raise Usage("an entry for passwd or group can't have more than one line")
    for key in sorted(values, key=len, reverse=True):
        template = template.replace(key, values[key])
    return template
