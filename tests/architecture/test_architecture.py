"""Architectures: equal values, and texts that are none."""

import pytest

from surrogate_nas.architecture.architecture import Architecture, Stage, Stem
from surrogate_nas.architecture.branches import LINEAR, ConvBranch
from surrogate_nas.foundation.errors import InputError


def test_an_exit_without_layers_is_linear_whatever_else_it_says() -> None:
    assert ConvBranch(0, "separable", 32, 2) == LINEAR


def test_a_residual_stage_has_no_expansion() -> None:
    assert Stage("residual", 8, (3,), (4,), 1) == Stage("residual", 8, (3,), (1,), 1)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "''"),
        ("stem-w8-s1", "does not start with a stem and a stage"),
        ("stem-w8/res-d1-w8-k3-s1", "does not start with a stem and a stage"),
        ("stem-w0-s1/res-d1-w8-k3-s1", "stem_width 0 is not a positive number"),
        ("stem-w8-s1/conv-d1-w8-k3-s1", "'conv-d1-w8-k3-s1'"),
        ("stem-w8-s1/res-d1-w8-k3-e2-s1", "'res-d1-w8-k3-e2-s1'"),
        ("stem-w8-s1/inv-d1-w8-k3-s1", "'inv-d1-w8-k3-s1'"),
        ("stem-w8-s1/res-d0-w8-k3-s1", "depth 0 is not a positive number"),
        ("stem-w8-s1/res-d1-w8-k4-s1", "kernel 4 is not a positive odd number"),
        ("stem-w8-s1/res-d1-w8-k3-s1@/res-d1-w8-k3-s1", "exit branch ''"),
        ("stem-w8-s1/res-d1-w8-k3-s1@conv-d1/res-d1-w8-k3-s1", "exit branch 'conv-d1'"),
    ],
)
def test_a_malformed_text_encoding_is_refused_by_name(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.parse(text)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_architecture_needs_a_branch_or_none_after_every_stage_but_the_last() -> None:
    stage = Stage("residual", 8, (3,), (1,), 1)
    with pytest.raises(InputError, match=r"2 stages need 1 branches \(or None\), got 0"):
        Architecture(Stem(8, 1), (stage, stage), ())


def test_a_linear_classifier_need_not_be_named() -> None:
    assert Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1@linear") == Architecture.parse("stem-w8-s1/res-d1-w8-k3-s1")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("in-r0/stem-w8-s1/res-d1-w8-k3-s1", "resolution 0 is not a positive number"),
        ("in-q9/stem-w8-s1/res-d1-w8-k3-s1", "bits 9 is not one of 2, 3, 4"),
        ("stem-w8-s1/inv-d3-w8-k3.5-e2-s1", "has 3 blocks, but 2 values in 3.5"),
        ("stem-w8-s1/res-d1-w8-k3-s1-se", "'res-d1-w8-k3-s1-se'"),
        ("stem-w8-s1/res-d1-w8-k3-s1@resize-r2.k3.m1.p1/res-d1-w8-k3-s1", "shrinks its feature map below 1×1"),
        ("tuned-a.b:c/res-d1-w8-k3-s1", "segment 'res-d1-w8-k3-s1' is not of the form to-layer1"),
        ("stem-w8-s1/to-layer1", "stage 'to-layer1' is not of the form"),
    ],
)
def test_a_malformed_part_of_a_longer_form_is_refused_by_name(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.parse(text)
    assert part in str(caught.value)
