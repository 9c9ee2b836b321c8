"""Which of several sets of weights in one file is read: the last step's, their average, others."""

from keras_clip.convert.errors import CheckpointError

# Keys under which training loops keep weights; the first of those in a file is read, by which
# timm's own four are in timm's order, an average first.
SETS = (
    *("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "module"),
    *("params_ema", "params", "teacher", "student", "ema_model", "online_model"),
    *("ema_state_dict", "ema", "current_model_state"),
)
# Two of them that are the same model where they are not keys but begin the names.
PAIRS = (
    *(("model_ema", "model"), ("model", "ema_model"), ("model", "ema")),
    *(("ema_model", "online_model"), ("teacher", "student")),
)
# Keys of what training keeps beside weights.
TRAINING = frozenset(
    "optimizer optimizers optimizer_state_dict optimizer_states scheduler scheduler_state_dict "
    "lr_scheduler lr_scheduler_state_dict lr_schedulers scaler scaler_state_dict amp_scaler "
    "loss_scaler callbacks loops averaging_state dino_loss ibot_patch_loss rng_state".split()
)


class Choice:
    """Decides which set is read, and keeps account of that in `notes`, lines for the user.

    Args:
        wanted: Key of the set, such as `state_dict`, where dots lead into dictionaries; None: the
            first of SETS.
    """

    def __init__(self, wanted: str | None = None):
        self.wanted = wanted
        self.notes = []
        self._seen = {}

    def pick(self, keys: list[str]) -> str | None:
        """The key to follow, of those on one level that lead to tensors; None: none of them."""
        known = [key for key in SETS if key in keys]
        self._seen |= dict.fromkeys(known)
        asked = self.match(keys)
        if asked or not known:
            return asked
        if known[1:]:
            others = " or ".join(f"load_weights={key!r}" for key in known[1:])
            self.notes.append(
                f"holds {len(known)} sets of weights, {', '.join(known)}; {known[0]} is read "
                f"({others} reads another)"
            )
        return known[0]

    def match(self, keys: list[str]) -> str | None:
        """The key that was asked for, if it is one of these; what is left of it is then wanted."""
        for key in keys:
            if self.wanted and f"{self.wanted}.".startswith(f"{key}."):
                self.wanted = self.wanted[len(key) + 1 :] or None
                return key
        return None

    def check(self, found: str) -> None:
        """Raises CheckpointError unless what was asked for has been met; `found` names groups."""
        if self.wanted:
            raise CheckpointError(
                f"holds no set of weights {self.wanted!r}; it has {', '.join(self._seen) or found}"
            )
