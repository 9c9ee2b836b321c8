"""AdamW as contrastive models are trained with it: what decays, how fast, and no step on NaN."""

import keras
from keras import ops

from keras_clip.train.conditional import choose
from keras_clip.train.gradients import dense, is_finite
from keras_clip.train.layer_decay import rate_multipliers
from keras_clip.train.schedule import warm_up_and_cosine


@keras.saving.register_keras_serializable(package="keras_clip")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW that decays kernels alone, and leaves out steps that are not finite.

    Weights decay where they are the kernel of a dense layer or convolution: no gain, bias,
    embedding (token, position, class token, register, learned query), logit scale or bias does.

    A step whose gradients have a norm that is not finite changes no weight, no moment, no moving
    average and no accumulated gradient; it counts in `iterations`, which is the data consumed,
    and so in the schedule, and in `skipped_steps`. With `gradient_accumulation_steps` all batches
    of such a step are left out. Under `mixed_float16`, Keras's `LossScaleOptimizer` leaves steps
    out before they come here, and then `iterations` stands still.

    Args:
        learning_rate: float or schedule.
        weight_decay: float. The part of a kernel taken off in a step is this times the rate.
        beta_1, beta_2, epsilon: of Adam; `epsilon` is added where Keras adds it.
        rate_multipliers: list of floats in the order of the trainable variables, by which the
            learning rate, and so the decay, is multiplied; None: all 1.
        skip_nonfinite: bool. Whether steps that are not finite are left out.
        **options: as for `keras.optimizers.AdamW`: `use_ema`, `global_clipnorm` and others.

    Raises:
        ValueError: when built: not one multiplier a variable, or `skip_nonfinite` on more than
            one replica of a `tf.distribute` strategy.

    Reference: "Decoupled Weight Decay Regularization" (arXiv 1711.05101), algorithm 2; what decays:
    "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.5.
    """

    def __init__(
        self,
        learning_rate=5e-4,
        weight_decay=0.2,
        beta_1=0.9,
        beta_2=0.98,
        epsilon=1e-6,
        rate_multipliers=None,
        skip_nonfinite=True,
        **options,
    ):
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, **options)
        self.rate_multipliers = None if rate_multipliers is None else tuple(rate_multipliers)
        self.skip_nonfinite = skip_nonfinite

    def build(self, variables):
        """Make the moments of a list of variables, which `apply` then moves."""
        if self.built:
            return
        rates = self.rate_multipliers or (1.0,) * len(variables)
        if len(rates) != len(variables):
            raise ValueError(
                f"There are {len(rates)} rate_multipliers for {len(variables)} trainable "
                "variables: make the optimizer after freezing layers or adding LoRA."
            )
        if self.skip_nonfinite and _num_replicas() > 1:
            raise ValueError(
                "Under a tf.distribute strategy of several replicas a step cannot be left out: "
                "give skip_nonfinite=False."
            )
        super().build(variables)
        self._rates = rates
        self._decays = tuple(is_decayed(variable) for variable in variables)
        self.skipped_steps = self.add_variable(
            (), dtype="int", name="skipped_steps", aggregation="only_first_replica"
        )

    def apply(self, grads, trainable_variables=None):
        """Take a step, or leave it out where a gradient is not finite."""
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        grads = [dense(grad) for grad in grads]
        if not (self.skip_nonfinite and self.built and grads):
            super().apply(grads, trainable_variables)
            return
        apply = super().apply
        state = [*self._trainable_variables, *self.variables]
        choose(self._is_taken(grads), lambda: apply(grads, trainable_variables), self._skip, state)

    def _is_taken(self, grads):
        tensors = [grad for grad in grads if grad is not None]
        if not self.gradient_accumulation_steps:
            return is_finite(tensors)
        sums = [ops.convert_to_tensor(v) for v in self._accumulated_gradients if v is not None]
        last = ops.equal((self._iterations + 1) % self.gradient_accumulation_steps, 0)
        return ops.logical_or(ops.logical_not(last), is_finite(tensors + sums))

    def _skip(self):
        if self.gradient_accumulation_steps:
            self._backend_reset_gradient_accumulators()
        self._iterations.assign_add(1)
        self.skipped_steps.assign_add(1)

    def _apply_weight_decay(self, variables):
        """Leave it to `update_step`, where a variable's own rate is known."""

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._rates[index]
        if self._decays[index] and self.weight_decay:
            self.assign_sub(variable, variable * (rate * self.weight_decay))
        super().update_step(gradient, variable, rate)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        values = [variable.value for variable in trainable_variables]
        if keras.backend.backend() == "torch" and not self.amsgrad and _are_plain(values):
            self._fused_update_step(grads, trainable_variables, float(learning_rate))
        else:
            super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _fused_update_step(self, grads, variables, learning_rate):
        """One pass over memory a variable, where Keras's own for torch makes a dozen."""
        import torch
        from torch.optim.adamw import adamw as fused_adamw

        steps = int(self.iterations)
        groups = {}
        for grad, variable in zip(grads, variables, strict=True):
            index = self._get_variable_index(variable)
            moments = self._momentums[index].value, self._velocities[index].value
            row = variable.value, grad.to(variable.value.dtype).contiguous(), *moments
            groups.setdefault((self._rates[index], self._decays[index]), []).append(row)
        # Torch adds epsilon behind the bias correction of the second moment, Keras before it.
        epsilon = self.epsilon / (1 - self.beta_2 ** (steps + 1)) ** 0.5
        with torch.no_grad():
            for (rate, decays), rows in groups.items():
                device = rows[0][0].device
                counts = list(torch.full((len(rows),), float(steps), device=device).unbind())
                fused_adamw(
                    *(list(column) for column in zip(*rows, strict=True)), [], counts,
                    fused=True, amsgrad=False, maximize=False, lr=rate * learning_rate,
                    beta1=self.beta_1, beta2=self.beta_2, eps=epsilon,
                    weight_decay=self.weight_decay if decays else 0.0,
                )  # fmt: skip

    def _update_model_variables_moving_average(self, trainable_variables):
        # As Keras's, except that the average starts with the first step that was taken.
        first = ops.equal(self.iterations, self.skipped_steps)
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            if average is not None:
                share = ops.where(first, 1.0, 1.0 - self.ema_momentum)
                share = ops.cast(share, variable.dtype)
                average.assign(average + (variable - average) * share)

    def finalize_variable_values(self, var_list):
        super().finalize_variable_values(var_list)
        for average in self._model_variables_moving_average if self.use_ema else ():
            if average is not None:  # else Keras on JAX gives one array away twice in the next fit
                average.assign(ops.copy(average))

    def get_config(self):
        return {
            **super().get_config(),
            "rate_multipliers": self.rate_multipliers,
            "skip_nonfinite": self.skip_nonfinite,
        }


def is_decayed(variable):
    """Whether weight decay is meant for a variable: the kernels of dense layers, convolutions."""
    return len(variable.shape) > 1 and "kernel" in variable.name


def adamw(
    model,
    learning_rate,
    steps,
    warmup_steps=None,
    weight_decay=0.2,
    layer_decay=None,
    clip_norm=None,
    ema_momentum=None,
    **options,
):
    """Make an AdamW for a model: linear warm-up, cosine to 0, decay of kernels.

    Args:
        model: keras.Model, frozen and with LoRA as it will be trained.
        learning_rate: float. The largest, at the end of the warm-up.
        steps: int. Of the whole training; `iterations` behind them have a rate of 0.
        warmup_steps: int. None: a tenth of the steps, at most 2000.
        weight_decay: float.
        layer_decay: float in (0, 1] or None. The rate of a block is this times the one of the next
            block; the head, projection, logit scale and all behind the last block have the whole.
        clip_norm: float or None. Largest norm of all gradients together.
        ema_momentum: float in [0, 1) or None. Keeps a moving average of the weights, which `fit`
            puts in their place when it ends.
        **options: as for `AdamW`: `beta_2=0.98`, `epsilon=1e-6`, `gradient_accumulation_steps`.

    Raises:
        ValueError: `steps` below 1, a warm-up that is not shorter, a `layer_decay` out of range
            or of a model without blocks.

    Reference: "Learning Transferable Visual Models" (arXiv 2103.00020), section 2.5 and table 19;
    `layer_decay`: "BEiT" (arXiv 2106.08254), section 3.1.
    """
    if steps < 1:
        raise ValueError(f"steps is at least 1, not {steps}.")
    warmup_steps = min(2000, steps // 10) if warmup_steps is None else warmup_steps
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps is at least 0 and below steps={steps}, not {warmup_steps}.")
    if ema_momentum is not None:
        options |= {"use_ema": True, "ema_momentum": ema_momentum}
    return AdamW(
        warm_up_and_cosine(learning_rate, steps, warmup_steps),
        weight_decay,
        rate_multipliers=None if layer_decay is None else rate_multipliers(model, layer_decay),
        global_clipnorm=clip_norm,
        **options,
    )


def _num_replicas():
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _are_plain(values):
    """Whether torch's fused step takes these tensors."""
    return all(value.is_contiguous() and value.is_floating_point() for value in values)
