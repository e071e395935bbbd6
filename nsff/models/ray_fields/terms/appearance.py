"""Colour, features and saliency: of the composite, and of the dynamic field alone, at its own frame and warped from its
neighbours (docs/methods.md#photometric-loss, docs/methods.md#feature-and-saliency-losses).

Notation. R rays, C channels. The composite learns from whole images; a warped rendering shows frame k through what the
dynamic field says at frame k ± 1 (k ± 2 when chained), and counts by M V (nsff.models.ray_fields.terms.context).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from nsff.models.ray_fields.compositing import accumulate
from nsff.models.ray_fields.terms.context import RayContext, WarpedContext
from nsff.models.ray_fields.terms.means import Scalar, masked_mse
from nsff.models.ray_fields.terms.schedules import CHAINED, MASKED, Decays
from nsff.models.ray_fields.terms.setup import Setup
from nsff.models.ray_fields.terms.term import RayTerm, WarpedTerm


def _unsupervised(setup: Setup, name: str) -> str:
    """Why there is nothing to learn a semantic quantity from; empty where there is."""
    if getattr(setup, name):
        return ""
    return f"field.{name} is false" if setup.features else "field.features is false"


def _mse(rendered: Float[Tensor, "R *C"], target: Float[Tensor, "R *C"], counted: int) -> Scalar:
    return (rendered[:counted] - target[:counted]).square().mean()


# --- of the composite ------------------------------------------------------------------------------------------------
class Rgb(RayTerm):
    """Mean squared error of the composited colour."""

    name = "rgb"
    does = "colour of the composite against the image"
    source = "NSFF, section 3.3 (L_cb)"
    always = True

    def value(self, context: RayContext) -> Scalar:
        return _mse(context.rgb, context.batch.rgb, context.counted)


class Features(RayTerm):
    """Mean squared error of the composited features."""

    name = "features"
    does = "features of the composite against those of the images"
    source = "SAFF, run_nerf.py (dino_coe)"
    schedule = Decays("decay_extra")

    def absent(self, setup: Setup) -> str:
        return _unsupervised(setup, "features") or super().absent(setup)

    def value(self, context: RayContext) -> Scalar:
        assert context.batch.features is not None
        return _mse(context.model.features_of(context.evaluation), context.batch.features, context.counted)


class Saliency(RayTerm):
    """Mean squared error of the composited saliency."""

    name = "saliency"
    does = "saliency of the composite against that of the images"
    source = "SAFF, run_nerf.py (sal_coe)"
    schedule = Decays("decay_extra")

    def absent(self, setup: Setup) -> str:
        return _unsupervised(setup, "saliency") or super().absent(setup)

    def value(self, context: RayContext) -> Scalar:
        assert context.batch.saliency is not None
        rendered = context.model.composited(context.evaluation, "saliency")
        return _mse(rendered, context.batch.saliency, context.counted)


# --- of the dynamic field alone --------------------------------------------------------------------------------------
class DynamicRgb(WarpedTerm):
    """Masked mean squared errors of the dynamic field's renderings, added up: at frame k, warped from both neighbours,
    and, in the last stage, chained from k ± 2."""

    name = "dynamic_rgb"
    does = "colour of the dynamic field alone, at its frame and warped from its neighbours"
    source = "NSFF, equation 8 (L_pho)"
    begins = (MASKED, CHAINED)
    always = True
    quantity = "rgb"

    @property
    def weight(self) -> str:
        return f"w_{self.quantity}"

    def scale(self, setup: Setup) -> float | None:
        return setup.losses.w_warp

    def in_words(self, setup: Setup) -> str:
        warp = setup.losses.w_warp
        return super().in_words(setup) + ("" if warp == 1 else f"; times {warp:g}, w_warp")

    def value(self, context: WarpedContext) -> Scalar:
        name, masks, chained = self.quantity, context.masks, context.chain.rendered
        target = getattr(context.batch, name)
        here = accumulate(context.weights, getattr(context.dynamic, name))
        total = masked_mse(self._decoded(context, here), target, masks.here)
        for side in ("prev", "post"):
            rendered = self._decoded(context, context.sides[side].render(name))
            total = total + masked_mse(rendered, target, masks.sides[side])
        if chained is not None:
            total = total + masked_mse(self._decoded(context, chained.render(name)), target, masks.chain)
        return total

    def _decoded(self, context: WarpedContext, rendered: Float[Tensor, "R *F"]) -> Float[Tensor, "R *C"]:
        return rendered


class DynamicFeatures(DynamicRgb):
    """As DynamicRgb, of features, which are decoded after rendering."""

    name = "dynamic_features"
    does = "features of the dynamic field alone, as dynamic_rgb"
    source = "SAFF, run_nerf.py (dino_coe)"
    schedule = Decays("decay_extra")
    always = False
    quantity = "features"

    def absent(self, setup: Setup) -> str:
        return _unsupervised(setup, self.quantity) or super().absent(setup)

    def _decoded(self, context: WarpedContext, rendered: Float[Tensor, "R F"]) -> Float[Tensor, "R C"]:
        return context.model.dynamic_features(rendered)


class DynamicSaliency(DynamicRgb):
    """As DynamicRgb, of saliency."""

    name = "dynamic_saliency"
    does = "saliency of the dynamic field alone, as dynamic_rgb"
    source = "SAFF, run_nerf.py (sal_coe)"
    schedule = Decays("decay_extra")
    always = False
    quantity = "saliency"

    def absent(self, setup: Setup) -> str:
        return _unsupervised(setup, self.quantity) or super().absent(setup)


TERMS = (Rgb(), Features(), Saliency(), DynamicRgb(), DynamicFeatures(), DynamicSaliency())
