# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
"""Writes data/tokenizer/spiece.model (a small unigram model trained here) and data/tokenizer.json: ids of
transformers' T5 tokenizer for prompts cleaned as diffusers' Wan pipeline cleans them.

    python tests/golden/generate_tokenizer.py
"""
import html
import io
import json
import pathlib
import re

import sentencepiece
import transformers

SENTENCES = [
    "A white digit {} moves to the left.", "Two digits, a red {} and a green {}, cross each other.",
    "The handwritten {} bounces off the wall & comes back!", "A blue {} rises slowly over a dark sky.",
    "数字{}向右移动。", "两个手写数字{}和{}交叉运动，背景是黑色的。", "红色的{}慢慢上升。",
    "手書きの数字{}が左に動きます。", "二つの数字{}と{}がすれ違う。", "青い{}がゆっくり昇る。",
]
PROMPTS = [
    "A white digit 7 moves to the left.", "  Two   digits,\n a red 3\tand a green 5 ", "", " ", "a",
    "数字7向右移动。", "两个手写数字3和5交叉运动，背景是黑色的。", "手書きの数字１が左に動きます。",
    "A 🙂 smiles at 👩‍👩‍👧 é e\u0301 ﬁne Ｗｉｄｅ", "zebra quixotic jazz", "東京タワー",
    "Tom &amp; Jerry &lt;3 &amp;amp; &quot;x&quot; &notit; &#233;&#x1F600; &#128; &copy2026 &bogus; &",
    "tabs\tand\u3000wide\u00a0spaces\u2003here\u200bzero", "A blue 9 rises slowly over a dark sky. " * 8,
    "line\r\nbreaks\x0b\x0cand\x1cseparators", "▁under▁score", "&#0;&#xD800;&#x110000;&#1;&#11;end",
]
LENGTHS = [24, 64]


def clean(text):
    # prompt_clean of diffusers.pipelines.wan.pipeline_wan without ftfy, which is optional there.
    text = html.unescape(html.unescape(text)).strip()
    return re.sub(r"\s+", " ", text).strip()


def main():
    folder = pathlib.Path(__file__).parent / "data"
    (folder / "tokenizer").mkdir(exist_ok=True)
    sentences = [s.format(i, 9 - i) for s in SENTENCES for i in range(10)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="unigram", vocab_size=200,
        hard_vocab_limit=False, character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        num_threads=1, minloglevel=1)
    (folder / "tokenizer" / "spiece.model").write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder / "tokenizer", extra_ids=0)
    cases = []
    for prompt in PROMPTS:
        for length in LENGTHS:
            out = tokenizer(clean(prompt), padding="max_length", max_length=length, truncation=True,
                            add_special_tokens=True, return_attention_mask=True)
            plain = processor.encode(clean(prompt))[: length - 1] + [1]
            plain += [0] * (length - len(plain))
            if plain != out.input_ids:
                print("sentencepiece and transformers differ:", repr(prompt), plain, out.input_ids)
            cases.append({"prompt": prompt, "cleaned": clean(prompt), "length": length,
                          "ids": out.input_ids, "mask": out.attention_mask})
    versions = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__}
    with open(folder / "tokenizer.json", "w") as out:
        json.dump({"versions": versions, "cases": cases}, out, separators=(",", ":"))
        out.write("\n")
    print(len(cases), "cases, vocabulary", processor.get_piece_size())


if __name__ == "__main__":
    main()
