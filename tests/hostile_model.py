"""A model whose own generation_config.json would change everything that is written, if an engine used it."""

import json
import shutil
from pathlib import Path

HOSTILE = {
    **{"do_sample": True, "temperature": 0.1, "top_k": 2, "top_p": 0.3, "min_p": 0.2, "typical_p": 0.5},
    **{"epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "repetition_penalty": 1.7, "no_repeat_ngram_size": 1},
    **{"encoder_repetition_penalty": 2.0, "encoder_no_repeat_ngram_size": 1, "length_penalty": 3.0},
    **{"num_beams": 3, "num_return_sequences": 2, "early_stopping": True, "renormalize_logits": True},
    **{"min_length": 40, "min_new_tokens": 9, "max_length": 3, "max_new_tokens": 1, "max_time": 1e-9},
    **{"bad_words_ids": [[5], [300]], "suppress_tokens": [*range(20, 500)], "begin_suppress_tokens": [7]},
    **{"forced_bos_token_id": 5, "forced_eos_token_id": 6, "sequence_bias": [[[9], 50.0]]},
    **{
        "exponential_decay_length_penalty": [1, 9.0],
        "stop_strings": ["e", "a"],
        "remove_invalid_values": True,
    },
    **{"guidance_scale": 3.0, "penalty_alpha": 0.6, "token_healing": True, "prompt_lookup_num_tokens": 2},
    **{"watermarking_config": {"bias": 9.0, "greenlist_ratio": 0.1, "hashing_key": 1}},
    **{"cache_implementation": "static", "use_cache": False, "return_dict_in_generate": True},
    **{"output_scores": True, "output_logits": True},
}
"""A value that would be noticed for each field that has an effect."""

_CODE = "raise SystemExit('the code of the model was run')\n"


def hostile_copy(folder: Path, copy: Path, **settings: object) -> Path:
    """Copy a model folder, with the hostile settings (or these) and code that must never run."""
    shutil.copytree(folder, copy)
    (copy / "custom_generate").mkdir()
    (copy / "custom_generate" / "generate.py").write_text(_CODE)
    own = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**own, **(settings or HOSTILE)}))
    return copy
