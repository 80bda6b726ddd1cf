"""EfficientNet-Lite0 at 224 px, on 200 of the zoo's evaluation and 40 of its calibration images.

``python -m benchmarks --network benchmarks/lite0.py:build --rows noise --flattering 2x64 --layers 12``

Needs what the zoo's network needs: ``pip install "safer-bench[imagenet]"``, and ImageNet's images named by
``SAFER_BENCH_DATA``.
"""

import safer_bench as sb

N_IMAGES, N_CALIBRATION = 200, 40


def build() -> sb.Network:
    """Return the network with few images."""
    network = sb.load_network("efficientnet_lite0")
    (images, labels), (others, their_labels) = network.evaluation, network.calibration
    return sb.Network(
        network.model,
        images[:N_IMAGES].clone(),
        labels[:N_IMAGES],
        name=network.name,
        calibration=(others[:N_CALIBRATION].clone(), their_labels[:N_CALIBRATION]),
    )
