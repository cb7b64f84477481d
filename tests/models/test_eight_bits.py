"""A table in eight bits: near what it was, a quarter of the memory, and a language model still learns beside it."""

from __future__ import annotations

import pytest
import torch

from modelwright.models.eight_bits import EightBits, EightBitsLinear, finer, squeeze
from modelwright.models.language import language_from_scratch
from modelwright.training.objectives import Batch
from modelwright.training.objectives.vocabulary import NextToken


def test_no_number_is_further_off_than_half_a_step() -> None:
    """A step of a row is its largest number over 127; bfloat16 rounds scale and product by 2^-8 more, each."""
    weight = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 50)[:, None]
    table = EightBits.of(weight)
    most_V1 = weight.abs().amax(1, keepdim=True)
    assert ((table.weight.float() - weight).abs() <= most_V1 * (0.5 / 127 + 2 / 256)).all()
    ids = torch.tensor([[3, 7, 3]])
    assert torch.equal(table(ids), table.weight[ids])
    states = torch.randn(2, 16)
    torch.testing.assert_close(table(states), states @ table.weight.float().T)
    assert (EightBits.of(torch.zeros(2, 4)).weight == 0).all()


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_gives_nearly_the_same_loss_and_gradients_flow(tied: bool) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    network = language_from_scratch("llama", "causal", {**sizes, "intermediate_size": 64, "tie_word_embeddings": tied})
    ids = torch.randint(0, 97, (3, 12))
    batch = Batch({"input_ids": ids}, torch.roll(ids, -1, 1))
    before = network_loss(network, batch)
    squeeze(network.transformer)
    read, last = network.transformer.get_input_embeddings(), network.transformer.get_output_embeddings()
    assert (read.numbers is last.numbers) == tied
    assert network_loss(network, batch) == pytest.approx(before, abs=0.02)
    NextToken().loss(network, batch).sum.backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_a_layer_that_guesses_keeps_its_bias(family: str, tied: bool) -> None:
    torch.manual_seed(0)
    plain = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    distil = {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64}
    sizes = {**(distil if family == "distilbert" else plain), "vocab_size": 97, "tie_word_embeddings": tied}
    network = language_from_scratch(family, "masked", sizes)
    torch.nn.init.normal_(network.vocabulary.bias, std=3.0)
    network.eval()
    ids = torch.randint(2, 97, (3, 12))
    before = network_loss(network, Batch({"input_ids": ids}, ids))
    bias = network.vocabulary.bias
    squeeze(network.transformer)
    assert isinstance(network.vocabulary, EightBits) and network.vocabulary.bias is bias
    assert network_loss(network, Batch({"input_ids": ids}, ids)) == pytest.approx(before, abs=0.05)
    with torch.no_grad():
        scores, states = network({"input_ids": ids}), network.states({"input_ids": ids})
        torch.testing.assert_close(scores, states @ network.vocabulary.weight.float().T + bias)


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_that_does_more_than_look_rows_up_stays_as_it_is(tied: bool) -> None:
    """Gemma's multiplies its rows by the root of the width."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "head_dim": 8}
    config = {**sizes, "intermediate_size": 64, "num_key_value_heads": 4, "tie_word_embeddings": tied}
    network = language_from_scratch("gemma", "causal", config)
    ids = torch.randint(0, 97, (3, 12))
    batch = Batch({"input_ids": ids}, torch.roll(ids, -1, 1))
    read, before = network.transformer.get_input_embeddings(), network_loss(network, batch)
    squeeze(network.transformer)
    assert network.transformer.get_input_embeddings() is read and type(read) is not torch.nn.Embedding
    assert isinstance(network.vocabulary, EightBits) != tied
    assert network_loss(network, batch) == pytest.approx(before, abs=0.05)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_gives_what_a_plain_one_of_its_weight_gives(bias: bool) -> None:
    """Outputs and the gradient for what comes in, in float32, and in autocast's precision under it."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(16, 8, bias=bias)
    layer = EightBitsLinear(linear, torch.float32)
    plain = torch.nn.Linear(16, 8, bias=bias)
    plain.load_state_dict({"weight": layer.weight, **({"bias": linear.bias} if bias else {})})
    values = [torch.randn(3, 5, 16, requires_grad=True)]
    values.append(values[0].detach().clone().requires_grad_())
    found = [each(one) for each, one in zip((layer, plain), values, strict=True)]
    torch.testing.assert_close(*found)
    for one in found:
        one.square().sum().backward()
    torch.testing.assert_close(values[0].grad, values[1].grad)
    narrow = EightBitsLinear(linear)
    assert narrow(values[0]).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert narrow(values[0]).dtype == torch.bfloat16
    assert [name for name, _ in layer.named_parameters()] == (["bias"] if bias else [])


def test_what_attention_makes_of_values_is_held_finer_in_every_family() -> None:
    """Two layers in each block: one makes values, one the output."""
    from transformers import AutoConfig, AutoModel

    plain = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    distil = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    for family in ("llama", "mistral", "qwen2", "bert", "roberta", "vit", "distilbert"):
        config = AutoConfig.for_model(family, **(distil if family == "distilbert" else plain))
        with torch.device("meta"):
            model = AutoModel.from_config(config)
        assert len(finer(model)) == 4, family


def network_loss(network: torch.nn.Module, batch: Batch) -> float:
    with torch.no_grad():
        found = NextToken().loss(network, batch)
    return float(found.sum) / found.units
