"""Accounts, logins and failed logins of the server."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.server.attempts import (
    PER_ADDRESS,
    PER_USER_AT_ADDRESS,
    SLOTS,
    WINDOW_S,
    Attempts,
    BlockedError,
)
from monai_sfda.label.server.roles import LOCAL, ROLES, User, parse_roles
from monai_sfda.label.server.tokens import Tokens
from monai_sfda.label.server.users import UserFile

PASSWORD = "a pass phrase for tests"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def users(tmp_path: Path) -> UserFile:
    """A file with one user who may adapt."""
    file = UserFile(tmp_path / "users.json", create=True)
    file.add("anna", PASSWORD, ["adapter"])
    return file


@pytest.mark.parametrize(
    ("roles", "may"),
    [
        ((), {"user"}),
        (("adapter",), {"user", "adapter"}),
        (("approver",), {"user", "approver"}),
        (("admin",), set(ROLES)),
    ],
)
def test_an_administrator_may_everything_and_others_what_they_were_given(roles, may):
    user = User("anna", frozenset(roles))
    assert {role for role in ROLES if user.may(role)} == may


def test_without_a_file_of_users_everybody_may_do_everything():
    assert all(LOCAL.may(role) for role in ROLES)


def test_an_unknown_role_is_an_error_that_names_the_nearest():
    with pytest.raises(SettingError, match="approver"):
        parse_roles("user,aprover")


def test_a_password_is_checked_and_stands_in_no_file(users: UserFile):
    assert users.check("anna", PASSWORD) == User("anna", frozenset({"user", "adapter"}))
    assert users.check("anna", PASSWORD + "!") is None
    assert users.check("bertha", PASSWORD) is None
    assert PASSWORD not in users.path.read_text()
    assert users.path.stat().st_mode & 0o077 == 0


def test_a_file_that_others_may_read_is_refused(users: UserFile):
    users.path.chmod(0o644)
    with pytest.raises(DataError, match="chmod 600"):
        UserFile(users.path)


@pytest.mark.parametrize("content", ["", "{}{", json.dumps({"users": {"anna": {"roles": ["root"]}}})])
def test_a_damaged_file_is_an_error_and_nobody_gets_in(users: UserFile, content: str):
    users.path.write_text(content)
    with pytest.raises(DataError, match=r"users\.json"):
        UserFile(users.path)


def test_a_file_that_is_taken_away_while_serving_lets_nobody_in(users: UserFile):
    users.path.unlink()
    assert users.check("anna", PASSWORD) is None
    assert users.find("anna") is None


@pytest.mark.parametrize("name", ["", "../anna", "an na", "a" * 65, "anna\n", ".anna"])
def test_names_are_plain(users: UserFile, name: str):
    with pytest.raises(SettingError, match="name"):
        users.add(name, PASSWORD, [])


def test_short_passwords_are_not_taken(users: UserFile):
    with pytest.raises(SettingError, match="10 to 256"):
        users.add("bertha", "short", [])


def test_a_change_by_another_process_is_seen(users: UserFile):
    other = UserFile(users.path)
    users.add("bertha", PASSWORD, ["admin"])
    assert other.names() == ["anna", "bertha"]
    users.remove("bertha")
    assert other.names() == ["anna"]
    with pytest.raises(SettingError, match="anna"):
        users.remove("ana")


def test_a_login_ends_with_time_with_logging_out_and_with_the_account(users: UserFile):
    clock = Clock()
    tokens = Tokens(users, hours=1.0, clock=clock)
    anna = users.find("anna")
    assert anna is not None
    first, second = tokens.issue(anna), tokens.issue(anna)
    assert tokens.check(first) == anna
    tokens.end(first)
    assert tokens.check(first) is None
    assert tokens.check(second) == anna
    clock.now += 3601
    assert tokens.check(second) is None
    third = tokens.issue(anna)
    users.add("anna", PASSWORD, ["adapter"])
    assert tokens.check(third) is None, "a new password ends the logins with the old one"
    fourth = tokens.issue(anna)
    users.remove("anna")
    assert tokens.check(fourth) is None


@pytest.mark.parametrize(
    "token",
    ["", "x.y.z", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIiwiZXhwIjo5OTk5OTk5OTk5fQ.", "a" * 5000],
)
def test_tokens_that_are_not_ours_are_not_taken(users: UserFile, token: str):
    assert Tokens(users, hours=1.0).check(token) is None


def test_a_token_of_another_server_is_not_taken(users: UserFile):
    anna = users.find("anna")
    assert anna is not None
    assert Tokens(users, hours=1.0).check(Tokens(users, hours=1.0).issue(anna)) is None


def fail(attempts: Attempts, address: str, user: str) -> None:
    """One wrong password."""
    with attempts.attempt(address, user):
        pass


def test_guesses_at_one_address_keep_nobody_out_at_another():
    attempts = Attempts(Clock())
    for _ in range(PER_USER_AT_ADDRESS):
        fail(attempts, "192.0.2.1", "anna")
    with pytest.raises(BlockedError):
        fail(attempts, "192.0.2.1", "anna")
    with attempts.attempt("192.0.2.2", "anna") as succeeded:
        succeeded()


def test_an_address_that_tries_many_names_is_blocked_until_the_window_is_over():
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(PER_ADDRESS):
        fail(attempts, "2001:db8::1", f"user{number}")
    with pytest.raises(BlockedError) as blocked:
        fail(attempts, "2001:db8::2", "anna")
    assert 0 < blocked.value.seconds <= WINDOW_S + 1
    assert {"address": "2001:db8::/64"}.items() <= attempts.blocked()[0].items()
    clock.now += WINDOW_S + 1
    fail(attempts, "2001:db8::2", "anna")


def test_an_administrator_frees_an_address():
    attempts = Attempts(Clock())
    for _ in range(PER_USER_AT_ADDRESS):
        fail(attempts, "192.0.2.1", "anna")
    assert attempts.blocked() == [{"address": "192.0.2.1", "seconds": 601, "user": "anna"}]
    assert attempts.free("192.0.2.1") == 2
    fail(attempts, "192.0.2.1", "anna")


def test_right_passwords_are_no_failures():
    attempts = Attempts(Clock())
    for _ in range(3 * PER_ADDRESS):
        with attempts.attempt("192.0.2.1", "anna") as succeeded:
            succeeded()
    assert attempts.blocked() == []


def test_one_address_cannot_take_all_slots():
    attempts = Attempts()
    entered, leave = threading.Barrier(SLOTS + 1), threading.Event()

    def hold() -> None:
        with attempts.attempt("192.0.2.1", "anna"):
            entered.wait()
            leave.wait(20)

    held = [threading.Thread(target=hold) for _ in range(SLOTS)]
    for thread in held:
        thread.start()
    entered.wait()
    with pytest.raises(BlockedError) as busy:
        fail(attempts, "192.0.2.1", "anna")
    assert busy.value.busy
    leave.set()
    for thread in held:
        thread.join()
    with attempts.attempt("192.0.2.2", "anna") as succeeded:
        succeeded()
