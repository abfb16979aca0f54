"""Tiny random networks and tokenizers of each family, to begin with. Runs in the oracles' environments."""

from __future__ import annotations

import re
import string
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = [
    "What is the capital of France? Paris is the capital and the largest city of France.",
    "Where do penguins live? Penguins breed on the Antarctic coast in winter, and swim far.",
    "Bread dough rises because yeast turns sugar into carbon dioxide; it's chemistry (not magic)!",
    "Zürich liegt am See. Où est la bibliothèque? 東京は日本の首都です。",
    "search query: how do cells get energy? document: mitochondria produce energy - most of it.",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def save(family: str, folder: Path, seed: int) -> None:
    """Write a random network of a family and a tokenizer trained on a few sentences."""
    tokenizer = TOKENIZERS[family]()
    torch.manual_seed(seed)
    model = NETWORKS[family](len(tokenizer), tokenizer.pad_token_id)
    for (
        name,
        value,
    ) in model.named_parameters():  # fresh norms and biases are ones and zeros, which hide mistakes
        with torch.no_grad():
            value.mul_(8 if value.dim() > 1 else 1).add_(
                torch.randn_like(value) * (0.2 if value.dim() == 1 else 0)
            )
        assert torch.isfinite(value).all(), name
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def bert(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.BertConfig(
        vocab_size=vocabulary, max_position_embeddings=64, pad_token_id=padding, **SIZES
    )
    return transformers.BertModel(config, add_pooling_layer=False)


def electra(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.ElectraConfig(
        vocab_size=vocabulary, max_position_embeddings=64, embedding_size=24, pad_token_id=padding, **SIZES
    )
    return transformers.ElectraModel(config)


def distilbert(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.DistilBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=64,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        pad_token_id=padding,
    )
    return transformers.DistilBertModel(config)


def roberta(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.RobertaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=66,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=padding,
        **SIZES,
    )
    return transformers.RobertaModel(config, add_pooling_layer=False)


def xlm_roberta(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.XLMRobertaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=66,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=padding,
        **SIZES,
    )
    return transformers.XLMRobertaModel(config, add_pooling_layer=False)


def camembert(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.CamembertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=66,
        type_vocab_size=1,
        hidden_act="gelu_new",
        pad_token_id=padding,
        **SIZES,
    )
    return transformers.CamembertModel(config, add_pooling_layer=False)


def modernbert(vocabulary: int, padding: int) -> torch.nn.Module:
    config = transformers.ModernBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=64,
        local_attention=16,
        global_attn_every_n_layers=2,
        pad_token_id=padding,
        **SIZES,
    )
    return transformers.ModernBertModel(config)


def _words(text: str) -> list[str]:
    """Words of two letters or more, in order: a trainer's choice would not be the same in every run."""
    return sorted(set(re.findall(r"[^\W\d_]{2,}", text)))[:90]


def word_pieces() -> transformers.PreTrainedTokenizerBase:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[unused{n}]" for n in range(4))]
    text = normalizers.BertNormalizer(lowercase=True).normalize_str(" ".join(TEXT))
    letters = sorted({letter for letter in text if letter.isalpha()})
    # All of string.punctuation, else colbert-ai and PyLate leave out every unknown word with it.
    pieces = [*special, *string.punctuation, *letters, *(f"##{letter}" for letter in letters), *_words(text)]
    words = {piece: place for place, piece in enumerate(pieces)}
    plain = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    plain.normalizer = normalizers.BertNormalizer(lowercase=True)
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.decoder = decoders.WordPiece()
    plain.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def byte_pairs() -> transformers.PreTrainedTokenizerBase:
    """As RoBERTa and ModernBERT: blanks belong to the word behind them."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        bos_token="<s>",
        eos_token="</s>",
    )


def unigrams() -> transformers.PreTrainedTokenizerBase:
    """As XLM-R: pieces of sentences, a blank is a letter."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted({letter for letter in "".join(TEXT) if not letter.isspace()})
    pieces = [(token, 0.0) for token in special] + [(letter, -9.0) for letter in ["\u2581", *letters]]
    pieces += [(f"\u2581{word}", -3.0 - place / 50) for place, word in enumerate(_words(" ".join(TEXT)))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        bos_token="<s>",
        eos_token="</s>",
    )


NETWORKS = {
    "bert": bert,
    "electra": electra,
    "distilbert": distilbert,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "camembert": camembert,
    "modernbert": modernbert,
}
TOKENIZERS = {
    "bert": word_pieces,
    "electra": word_pieces,
    "distilbert": word_pieces,
    "roberta": byte_pairs,
    "xlm-roberta": unigrams,
    "camembert": unigrams,
    "modernbert": byte_pairs,
}
