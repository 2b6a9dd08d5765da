"""Preparation on a CPU node: sources and a starting model become what training opens.

- `run`: all stages in order; `stages`: what each one depends on; `unit_keys`: and how that is
  written down. Every result is a unit of the shared cache (`unit_cache`).
- `sources`, `extract`, `gate`, `pixels`, `merge`, `model`, `index`: the work of the stages, in
  their order. `member_files`: the files of an archive; `model_process`: where `model` works.
- `tokenized`, `processes`: records to blocks of the index, in several processes.
- `json_array`, `image_list`, `images`: reading label files and lists, decoding images.
- `unit_manifest`, `uses`: what a unit holds, and who uses it; `source_file`, `versions`: which
  version of a file that nothing pins; `volumes`: rights and room, asked for at the start;
  `progress`: events.

May import every room below `prep` but not `train` or `evaluate`. Only `model` needs torch and
transformers; `model_process` imports it when that stage begins, in a process of its own.
"""
