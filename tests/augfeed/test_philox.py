from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from augfeed import philox
from augfeed.errors import InputError
from augfeed.kernels.noise import pixel_numbers
from augfeed.philox import Stream

LOW = 2**32 - 1
# Counter and key of the vectors that come with Random123, and their answers.
ANSWERS = {
    "zeros": ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ((LOW,) * 4, (LOW,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_words_are_the_known_answers(name: str) -> None:
    counter, key, answer = ANSWERS[name]
    expected = [int(word, 16) for word in answer.split()]
    assert list(oracle(counter, key)) == expected
    sample = counter[0] | counter[2] >> 16 << 32
    seed, request = key[0] | key[1] << 32, (counter[2] & 0xFFFF, counter[3])
    drawn = philox.words(seed, counter[1], np.array([sample]), [request])
    assert drawn.dtype == np.uint32
    assert drawn[0, :, 0].tolist() == expected


@settings(max_examples=100, deadline=None)
@given(
    seed=st.one_of(st.integers(0, 2**64 - 1), st.integers(2**63, 2**64 - 1)),
    epoch=st.integers(0, 2**32 - 1),
    ids=st.lists(st.one_of(st.integers(0, 2**48 - 1), st.integers(0, 99)), max_size=5),
    requests=st.lists(st.tuples(st.sampled_from(Stream), st.integers(0, 99)), max_size=3),
)
def test_words_are_those_of_a_plain_philox(
    seed: int, epoch: int, ids: list[int], requests: list[tuple[int, int]]
) -> None:
    drawn = philox.words(seed, epoch, np.array(ids, np.int64), requests)
    assert drawn.shape == (len(requests), 4, len(ids))
    for k, (stream, block) in enumerate(requests):
        for i, sample in enumerate(ids):
            counter = (sample & LOW, epoch, stream | sample >> 32 << 16, block)
            assert tuple(drawn[k, :, i].tolist()) == oracle(counter, (seed & LOW, seed >> 32))


def test_pixel_numbers_are_halves_of_the_words_of_consecutive_blocks() -> None:
    seed, epoch, sample, count, plane = 2**63 + 5, 7, 2**40 + 3, 21, 2
    key = np.uint64(seed), np.uint64(epoch), np.uint64(sample), int(Stream.NOISE_PIXELS)
    numbers = pixel_numbers(count, plane, key)
    blocks = 3  # of eight numbers
    for p in range(count):
        lane, block = p // blocks, plane * blocks + p % blocks
        drawn = philox.words(seed, epoch, np.array([sample]), [(Stream.NOISE_PIXELS, block)])
        word = int(drawn[0, lane // 2, 0])
        assert numbers[p] == (word >> 16 if lane % 2 else word & 0xFFFF)


def test_uniforms_are_multiples_of_two_to_the_minus_24_below_one() -> None:
    ends = philox.uniforms(np.array([0, 255, 256, LOW], np.uint32))
    assert ends.tolist() == [0.0, 0.0, 2.0**-24, 1 - 2.0**-24]


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 1300])
def test_a_draw_is_the_uniforms_of_words(samples: int) -> None:
    ids = np.arange(samples) * (2**39 + 7)
    requests = [(Stream.CROP, 3, 1), (Stream.MIX, 0, 9), (Stream.CROP, 0, 4)]
    blocks = [(Stream.CROP, 3), *((Stream.MIX, k) for k in range(3)), (Stream.CROP, 0)]
    whole = philox.uniforms(philox.words(2**63 + 5, 7, ids, blocks)).reshape(20, samples)
    wanted = [0, *range(4, 13), *range(16, 20)]
    np.testing.assert_array_equal(philox.draw(2**63 + 5, 7, ids, requests), whole[wanted])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 30.0, 1000.0])
def test_beta_follows_its_law(alpha: float) -> None:
    drawn = philox.beta(3, 5, np.arange(50_000), Stream.MIX_LAMBDA, alpha)
    # Above one half the law is the same, but doubles near 1 are too coarse for a small alpha.
    folded = drawn[drawn <= 0.5]
    assert abs(len(folded) / len(drawn) - 0.5) < 0.01
    law = stats.beta(alpha, alpha)
    assert stats.kstest(folded, lambda x: law.cdf(x) / law.cdf(0.5)).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [5e-324, 1e-300, 1e-9, 1e-3, 0.02])
def test_beta_of_a_tiny_alpha_is_a_coin(alpha: float) -> None:
    drawn = philox.beta(0, 0, np.arange(10_000), Stream.MIX_LAMBDA, alpha)
    assert np.isfinite(drawn).all()
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert abs(drawn.mean() - 0.5) < 0.02
    assert drawn.var() > 0.22


def test_beta_of_a_sample_does_not_depend_on_the_others() -> None:
    whole = philox.beta(1, 2, np.arange(20), Stream.MIX_LAMBDA, 0.3)
    alone = [philox.beta(1, 2, np.array([i]), Stream.MIX_LAMBDA, 0.3)[0] for i in range(20)]
    assert whole.tolist() == alone


def test_normal_quantiles_are_those_of_the_normal_law() -> None:
    quantiles = philox.normal_quantiles()
    assert quantiles.dtype == np.float32
    expected = stats.norm.ppf((np.arange(65536) + 0.5) / 65536)
    np.testing.assert_allclose(quantiles, expected, rtol=2e-7, atol=1e-7)
    assert quantiles.max() == pytest.approx(4.33, abs=0.01)
    with pytest.raises(ValueError, match="read-only"):
        quantiles[0] = 0


@pytest.mark.parametrize(("seed", "epoch"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**32)], ids=str)
def test_key_out_of_range_is_refused(seed: int, epoch: int) -> None:
    with pytest.raises(InputError, match=r"not in \[0, 2\*\*(64|32)\): give a non-negative"):
        philox.check_key(seed, epoch)


def test_largest_key_is_accepted() -> None:
    philox.check_key(2**64 - 1, 2**32 - 1)


def test_streams_have_numbers_of_their_own() -> None:
    members: dict[str, Any] = dict(Stream.__members__)
    assert len({int(stream) for stream in members.values()}) == len(members)
    assert all(0 < stream < 2**16 for stream in members.values())


def test_drawing_leaves_the_global_generators_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    philox.words(0, 0, np.arange(9), [(Stream.CROP, 0)])
    philox.beta(0, 0, np.arange(9), Stream.MIX_LAMBDA, 0.2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]


def oracle(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Return the four words of Philox4x32-10 in plain Python."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & LOW, first >> 32 ^ c3 ^ k1, first & LOW
        k0, k1 = k0 + 0x9E3779B9 & LOW, k1 + 0xBB67AE85 & LOW
    return c0, c1, c2, c3
