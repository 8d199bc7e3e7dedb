"""The network and the losses of `simbert train` in PyTorch, without padding outside of attention."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Parameters by name, query, key and value as one, as simbert holds them."""
    weights = {name: tensor.float() for name, tensor in load_file(path).items()}
    for name in [name for name in weights if ".self.query." in name]:
        parts = [weights.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        weights[name.replace("query", "qkv")] = torch.cat(parts)
    return weights


class Batch:
    """Packed pairs: `rows` holds (ids, tokens of the source), row 2i and 2i + 1 being the two directions of a pair."""

    def __init__(self, rows: list[tuple[list[int], int]]):
        lengths = [len(ids) for ids, _ in rows]
        longest = max(lengths)
        self.sequences, self.longest, self.tokens = len(rows), longest, sum(lengths)
        self.ids = torch.tensor([token for ids, _ in rows for token in ids])
        self.positions = torch.cat([torch.arange(length) for length in lengths])
        self.segments = torch.tensor([int(i >= source) for ids, source in rows for i in range(len(ids))])
        # Where each token is among the padded ones, and which padded key each padded query sees.
        self.places = torch.tensor([s * longest + i for s, length in enumerate(lengths) for i in range(length)])
        token, key = torch.arange(longest)[:, None], torch.arange(longest)[None]
        sources = torch.tensor([source for _, source in rows])
        self.mask = (key < torch.clamp(sources[:, None, None], min=1)) | (key <= token)
        self.mask = self.mask[:, None]
        self.sequence = torch.tensor([s for s, length in enumerate(lengths) for _ in range(length)])
        self.sources = sources
        predicts, targets, start = [], [], 0
        for ids, source in rows:
            predicts += range(start + source - 1, start + len(ids) - 1)
            targets += ids[source:]
            start += len(ids)
        self.predicts, self.targets = torch.tensor(predicts), torch.tensor(targets)


class Network:
    def __init__(self, weights: dict[str, torch.Tensor], config: Path, dropout: float):
        self.config = json.loads(config.read_text())
        self.dropout = dropout
        self.weights = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.config.get("layer_norm_eps", 1e-12))

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout) if self.dropout else x

    def attend(self, qkv: torch.Tensor, batch: Batch) -> torch.Tensor:
        heads, hidden = self.config["num_attention_heads"], qkv.shape[1] // 3
        padded = qkv.new_zeros(batch.sequences * batch.longest, 3 * hidden).index_copy(0, batch.places, qkv)
        split = padded.view(batch.sequences, batch.longest, 3, heads, hidden // heads).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=batch.mask)
        return out.transpose(1, 2).reshape(-1, hidden)[batch.places]

    def losses(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Generation and similarity, with vectors by the mean over the source."""
        table = self.weights["embeddings.word_embeddings.weight"]
        x = F.embedding(batch.ids, table)
        x = x + F.embedding(batch.positions, self.weights["embeddings.position_embeddings.weight"])
        x = x + F.embedding(batch.segments, self.weights["embeddings.token_type_embeddings.weight"])
        x = self.drop(self.norm(x, "embeddings.LayerNorm"))
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            mixed = self.attend(self.linear(x, f"{name}.attention.self.qkv"), batch)
            mixed = self.drop(self.linear(mixed, f"{name}.attention.output.dense"))
            x = self.norm(mixed + x, f"{name}.attention.output.LayerNorm")
            wide = F.gelu(self.linear(x, f"{name}.intermediate.dense"))
            x = self.norm(self.drop(self.linear(wide, f"{name}.output.dense")) + x, f"{name}.output.LayerNorm")

        source = (batch.segments == 0).float()[:, None]
        sums = x.new_zeros(batch.sequences, x.shape[1], dtype=torch.float32)
        vectors = F.normalize(sums.index_add(0, batch.sequence, x.float() * source) / batch.sources[:, None])
        with torch.autocast("cpu", enabled=False):
            cosines = 30.0 * vectors @ vectors.T - 1e4 * torch.eye(batch.sequences)
            similarity = F.cross_entropy(cosines, torch.arange(batch.sequences) ^ 1)

        head = F.gelu(self.linear(x[batch.predicts], "cls.predictions.transform.dense"))
        head = self.norm(head, "cls.predictions.transform.LayerNorm")
        logits = F.linear(head, table, self.weights["cls.predictions.bias"])
        return F.cross_entropy(logits.float(), batch.targets), similarity

    def product_flops(self, batch: Batch) -> float:
        """Floating-point operations of a step's matrix products, forward and twice backward, attention's left out."""
        rows = {"word_embeddings": len(batch.predicts), "position": 0, "token_type": 0, "cls.": len(batch.predicts)}
        total = 0
        for name, weight in self.weights.items():
            if weight.dim() == 2:
                total += weight.numel() * next((n for part, n in rows.items() if part in name), batch.tokens)
        return 6.0 * total
