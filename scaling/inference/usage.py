"""What `--help` says of the commands that use a trained network."""

from typing import Final

_MODEL: Final = """\
MODEL is model.yaml or b0.yaml, a folder that holds one of them, an .onnx or .safetensors file that
`python -m blocks export` wrote, or a published network with weights=FILE. study=NAME member=b0 is
the same as a file of that study: what `scaling train` trained, else the search's own b0.yaml.
How images are read and what classes are called stands in that file, and nowhere else.
"""
_COMMON: Final = """\
  study=NAME                 of a search, instead of MODEL
  member=NAME                of the study: b0 ... b7, or what else was trained   [b0]
  results_dir=PATH                                                     [results]
  weights=FILE               of a MODEL that names none; or package:NAME
  mean=[X,...] std=[X,...]   of pixels in 0...1               [what its file says]
  device=DEVICE              auto, cpu or cuda                            [auto]
  batch=N                    images at a time              [by their size]
  on_corrupt=WHAT            of files that cannot be read: refuse or skip     [refuse]
"""
HELP: Final = {
    "predict": f"""\
usage: python -m scaling predict MODEL FILE|FOLDER|- [SETTING=VALUE ...]
       python -m scaling predict study=NAME FILE|FOLDER|- [SETTING=VALUE ...]

What a trained network says of images: a line for each, all else on standard error. - is standard
input: paths, one a line, or the bytes of one image.

{_MODEL}
settings
{_COMMON}\
  format=FORMAT              jsonl or csv                                    [jsonl]
  top=N                      classes that are told of each image                 [5]
  threshold=X                probability from which a label is given, where an image may have
                             several                          [what its file says]
  output=FILE                instead of the screen

examples
  python -m scaling predict study=main photo.jpg
  python -m scaling predict results/main photos format=csv top=1 output=answers.csv
  find photos -name '*.jpg' | python -m scaling predict results/main/b0.yaml -
""",
    "evaluate": f"""\
usage: python -m scaling evaluate MODEL [IMAGES] [SETTING=VALUE ...]
       python -m scaling evaluate study=NAME [IMAGES] [SETTING=VALUE ...]

How good a trained network is: top-1 and top-5, balanced accuracy, macro F1, calibration error, each
with its 95% interval, and all of it by class; writes evaluation.json, classes.csv, confused.csv,
confusion.png, calibration.png, worst.png. IMAGES is a folder per class (of splits, `part`), an
.npz file, or a table of labels; without IMAGES they are the test images of the network's study.

{_MODEL}
settings
{_COMMON}\
  part=SPLIT                 train, val or test                               [test]
  labels=WHERE               of a folder: folder, or the last number in each name  [folder]
  threshold=X                probability from which a label is given    [what its file says]
  draws=N                    of the images, for the intervals                 [1000]
  output=FOLDER              of what is written            [beside MODEL: evaluation/NAME]

examples
  python -m scaling evaluate study=main
  python -m scaling evaluate results/pets/b0.yaml more-pets
""",
    "explain": f"""\
usage: python -m scaling explain MODEL FILE|FOLDER|- [SETTING=VALUE ...]

Where a trained network looks: Grad-CAM of several stages and integrated gradients of the pixels
(needs captum: pip install "compound-nas[explain]"), and how far squeeze-excite opens each channel.
Whether a map is faithful is measured: what it points at is blurred first, and the answer must go
sooner than in random order. Writes overlays.png, faithfulness.csv, images.json, gates.csv and .png.

{_MODEL}
settings
{_COMMON}\
  limit=N                    images, spread over those that are found           [12]
  stages=N                   sizes of maps that are looked into, the smallest ones  [3]
  steps=N                    of integrated gradients                            [24]
  label=CLASS                that is explained                 [the predicted one]
  output=FOLDER              of what is written           [beside MODEL: explanation/NAME]

examples
  python -m scaling explain study=main photos limit=4
""",
    "publish": f"""\
usage: python -m scaling publish MODEL [SETTING=VALUE ...]
       python -m scaling publish study=NAME [SETTING=VALUE ...]

A folder that others use: it loads with this package, through timm and in ONNX Runtime, each in
three lines and proved to give the same logits. README.md is its model card: how images are
prepared, accuracy with intervals and by class, cost, latency here, data and recipe, limits.

{_MODEL}
settings
{_COMMON}\
  images=IMAGES              to judge it on, as of evaluate, or none   [the study's test images]
  license=NAME               of the weights, as spdx.org/licenses has it   [unknown]
  name=NAME                                                    [the network's]
  output=FOLDER                                         [results/published/NAME]
  draws=N                    of the images, for the intervals                 [1000]

examples
  python -m scaling publish study=main license=mit
""",
    "ensemble": f"""\
usage: python -m scaling ensemble MODEL [MODEL ...] IMAGES [SETTING=VALUE ...]
       python -m scaling ensemble study=NAME [IMAGES] [SETTING=VALUE ...]

Networks asked together (members of a family, or one with several seeds), and several looks at an
image by one of them: accuracy at the summed macs, beside the single network that costs as much or
the next more, on the same images, with the interval of the difference. Writes ensemble.csv.

{_MODEL}
settings
{_COMMON}\
  members=MEMBERS            of the study: all that are trained, or [b0,b1]      [all]
  views=[VIEW,...]           flip (mirrored), crops (centre and corners)  [[flip,crops]]
  part=SPLIT                 train, val or test                               [test]
  labels=WHERE               of a folder: folder or name                    [folder]
  draws=N                    of the images, for the intervals                 [1000]
  output=FOLDER              of what is written              [beside MODEL: ensemble/NAME]

examples
  python -m scaling ensemble study=main
  python -m scaling ensemble results/seed1 results/seed2 results/seed3 photos views=[flip]
""",
}
