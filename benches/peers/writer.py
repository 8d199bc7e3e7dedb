"""The model as a writer of similar questions in Hugging Face transformers."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertLMHeadModel, DynamicCache
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

TOP_K, TOP_P, MAX_TOKENS, SOURCE_TOKENS = 5, 0.95, 32, 64


class Transformers:
    """`BertLMHeadModel` with its own key and value cache: the source is read under a full mask, as UniLM wants it."""

    def __init__(self, model: Path):
        config = BertConfig.from_pretrained(model)
        config.is_decoder, config.use_cache = True, True
        self.model = BertLMHeadModel(config).eval()
        weights = {name: tensor.float() for name, tensor in load_file(model / "model.safetensors").items()}
        words = weights["embeddings.word_embeddings.weight"]
        named = {n if n.startswith("cls.") else f"bert.{n}": t for n, t in weights.items() if not n.startswith("pooler.")}
        named |= {"cls.predictions.decoder.weight": words, "cls.predictions.decoder.bias": weights["cls.predictions.bias"]}
        result = self.model.load_state_dict(named, strict=False)
        if result.unexpected_keys or [n for n in result.missing_keys if "position_ids" not in n]:
            sys.exit(f"the weights do not fit: {result}")
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        names = self.tokenizer.get_vocab()
        find = lambda *choice: next(names[name] for name in choice if name in names)
        self.cls, self.sep = find("[CLS]", "<s>"), find("[SEP]", "</s>")
        others = [find("[PAD]", "<pad>"), self.cls, find("[UNK]", "<unk>"), find("[MASK]", "<mask>")]
        self.banned = torch.tensor(others + list(range(self.tokenizer.get_vocab_size(), config.vocab_size)))
        self.warpers = [TopKLogitsWarper(TOP_K), TopPLogitsWarper(TOP_P)]

    def source(self, text: str) -> list[int]:
        pieces = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self.cls, *pieces[: SOURCE_TOKENS - 2], self.sep]

    def read(self, source: list[int], rows: int):
        """The source's cache for so many rows, and the logits of the first target token."""
        length, cache = len(source), DynamicCache(config=self.model.config)
        out = self.model(
            input_ids=torch.tensor([source]),
            token_type_ids=torch.zeros(1, length, dtype=torch.long),
            position_ids=torch.arange(length)[None],
            attention_mask=torch.zeros(1, 1, length, length),  # added to the scores: all see all
            cache=cache,
            use_cache=True,
        )
        cache.batch_repeat_interleave(rows)
        return cache, out.logits[:, -1].expand(rows, -1)

    def step(self, cache, tokens: torch.Tensor, position: int) -> torch.Tensor:
        rows = len(tokens)
        out = self.model(
            input_ids=tokens[:, None],
            token_type_ids=torch.ones(rows, 1, dtype=torch.long),
            position_ids=torch.full((rows, 1), position),
            attention_mask=torch.zeros(rows, 1, 1, position + 1),
            cache=cache,
            use_cache=True,
        )
        return out.logits[:, -1]

    @torch.inference_mode()
    def logits(self, source: list[int], target: list[int]) -> torch.Tensor:
        cache, logits = self.read(source, 1)
        rows = [logits[0]]
        for i, token in enumerate(target):
            rows.append(self.step(cache, torch.tensor([token]), len(source) + i)[0])
        return torch.stack(rows)

    @torch.inference_mode()
    def write(self, text: str, samples: int, k: int | None) -> list[str]:
        source = self.source(text)
        cache, logits = self.read(source, samples)
        ended = torch.zeros(samples, dtype=torch.bool)
        targets = torch.empty(samples, 0, dtype=torch.long)
        for i in range(MAX_TOKENS):
            logits = logits.index_fill(1, self.banned, -torch.inf)
            for warper in self.warpers:
                logits = warper(targets, logits)
            tokens = torch.multinomial(logits.softmax(-1), 1)[:, 0].masked_fill(ended, self.sep)
            targets = torch.cat([targets, tokens[:, None]], dim=1)
            ended |= tokens == self.sep
            if ended.all() or i + 1 == MAX_TOKENS:
                break
            logits = self.step(cache, tokens, len(source) + i)
        rows = [[t for t in row if t != self.sep] for row in targets.tolist()]
        texts = dict.fromkeys(self.tokenizer.decode(row) for row in rows)
        texts = [found for found in texts if found.strip() and found != text]
        return self.best(text, texts, k) if k else texts

    def best(self, text: str, texts: list[str], k: int) -> list[str]:
        """By the cosine of the mean over all tokens, in batches sorted by length."""
        vectors, order = [None] * (len(texts) + 1), []
        sources = [self.source(one) for one in [text, *texts]]
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        for start in range(0, len(order), 16):
            chosen = order[start : start + 16]
            longest = len(sources[chosen[-1]])
            ids = torch.tensor([sources[i] + [0] * (longest - len(sources[i])) for i in chosen])
            seen = torch.tensor([[1.0] * len(sources[i]) + [0.0] * (longest - len(sources[i])) for i in chosen])
            mask = ((seen - 1.0) * 1e9)[:, None, None, :].expand(-1, 1, longest, longest)
            states = self.model.bert(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            means = (states * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
            for i, vector in zip(chosen, F.normalize(means)):
                vectors[i] = vector
        scores = torch.stack(vectors[1:]) @ vectors[0] if texts else torch.empty(0)
        return [texts[i] for i in scores.argsort(descending=True)[:k].tolist()]
