"""Opens and empties the state store that the settings name."""

from __future__ import annotations

from features.declared.feature_set import FeatureSet
from features.feast.online_config import redis_address
from features.partition import Partition
from features.redis.address import RedisAddress
from features.state import postgresql, redis, redis_server
from features.state.fence import Fence, home_id
from features.state.sqlite import SqliteState
from features.state.store import StateStore
from features.state.watched import WatchedState
from leads.settings import Settings

_NAMES = {"postgresql": "PostgreSQL", "redis": "Redis"}


def open_state(
    settings: Settings, partition: Partition, features: FeatureSet, *, owner: str, take_over: bool = True
) -> WatchedState:
    """The state store of a partition, created when it doesn't exist.

    Args:
        features: whose rows the state is of.
        owner: a random name of this worker, see `features.state.fence.new_owner`.
        take_over: become the owner even if another worker of this home is; False: only if no other has become it since.

    Raises:
        ConfigurationError: the settings can't be used, or the state belongs to the feature rows of another home.
        Conflict: another worker is the owner.
        Unavailable: the store doesn't respond.
    """
    return WatchedState(_opened(settings, partition, features, owner, take_over))


def _opened(settings: Settings, partition: Partition, features: FeatureSet, owner: str, take_over: bool) -> StateStore:
    if settings.state_store == "sqlite":
        return SqliteState(features.folder(settings) / f"state-{partition.index}of{partition.count}.db")
    fence = Fence(
        _NAMES[settings.state_store], partition, home_id(settings.features_dir), owner, features=features.number
    )
    if settings.state_store == "postgresql":
        return postgresql.PostgresqlState(settings, fence, take_over=take_over)
    return redis.RedisState(_redis(settings), fence, take_over=take_over)


def clear_states(settings: Settings) -> None:
    """Delete the state of every partition.

    Raises:
        ConfigurationError: the settings can't be used.
        Unavailable: the store doesn't respond.
    """
    if settings.state_store == "postgresql":
        postgresql.clear(settings)
    elif settings.state_store == "redis":
        redis_server.clear(_redis(settings))
    # SQLite's files, and the name of the rows that a state on a server belongs to.
    for path in (*settings.features_dir.glob("state-*"), *settings.features_dir.glob("generation-*/state-*")):
        path.unlink()


def clear_state(settings: Settings, features: FeatureSet) -> None:
    """Delete the state of every partition of a generation of features; raises as `clear_states`."""
    if settings.state_store == "postgresql":
        postgresql.clear(settings, features.number)
    elif settings.state_store == "redis":
        redis_server.clear(_redis(settings), features.number)
    for path in features.folder(settings).glob("state-*of*"):
        path.unlink()


def _redis(settings: Settings) -> RedisAddress:
    return redis_address(settings, "LEADS_STATE_STORE")
