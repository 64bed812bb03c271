"""Tiny models with random weights, one of each kind, made on the spot."""

import copy
import json

VISION = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}

CLIP_KINDS = {
    "clip": {"text_cfg": {}},
    "custom_text": {"custom_text": True, "text_cfg": {}},
    "eos": {"custom_text": True, "text_cfg": {"pool_type": "eos", "eos_id": 49407}},
    "siglip": {
        "custom_text": True,
        "init_logit_bias": -10,
        "text_cfg": {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "clip_last": {"text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
    "coca": {
        "custom_text": True,
        "text_cfg": {"embed_cls": True, "output_tokens": True},
        "vision_cfg": {"attentional_pool": True, "output_tokens": True},
        "multimodal_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    },
}
ALL_KINDS = (*CLIP_KINDS, "transformers")
TRIMMED = ("clip", "custom_text", "eos")


def save_clip_of_kind(folder, kind):
    if kind != "transformers":
        return save_clip(folder, clip_config(kind))
    folder.mkdir()
    save_bert(folder)
    text = {
        "hf_model_name": str(folder),
        "hf_tokenizer_name": str(folder),
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "linear",
        "context_length": 24,
    }
    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": text}
    return save_clip(folder, config)


def clip_config(kind):
    config = copy.deepcopy(CLIP_KINDS[kind])
    config["embed_dim"] = 16
    config["text_cfg"] = {**TEXT, **config["text_cfg"]}
    config["vision_cfg"] = {**VISION, **config.get("vision_cfg", {})}
    return config


def save_clip(folder, config, seed=0):
    """Build a model from its config and save it as open_clip's local-dir scheme."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    document = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    torch.manual_seed(seed)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    weights = {k: v.clone().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def save_bert(folder, seed=0, **config):
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'"
    words = ["georgia", "paris", "london", "rival", "is", "in", "the", "of", "capital"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *words, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"))
    BertTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, model_max_length=64
    ).save_pretrained(folder)
    return _save_bert_weights(folder, seed, vocab_size=len(vocabulary), **config)


def save_multilingual_bert(folder, texts, seed=0):
    """With a tokenizer for texts of any script, which needs no words to be told apart
    by spaces, as XLM-RoBERTa's is: its pieces are their words and their letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = sorted({f"▁{word}" for text in texts for word in text.split()})
    letters = sorted(set("".join(texts)) | {"▁"} - set(words))
    pieces = [*special, *words, *letters]
    tokenizer = Tokenizer(
        models.Unigram(
            [(piece, -1.0) for piece in pieces], unk_id=special.index("<unk>")
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=64,
    ).save_pretrained(folder)
    return _save_bert_weights(folder, seed, vocab_size=len(pieces))


def _save_bert_weights(folder, seed, **config):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        **config,
    }
    BertModel(BertConfig(**settings)).save_pretrained(folder)
    return folder
