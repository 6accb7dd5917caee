"""Of how many and how small samples the tests' files are."""

from smart_matte.training.config import SampleConfig

TINY = SampleConfig(
    shards=3,
    held_back_shards=1,
    per_shard=4,
    foregrounds_per_shard=2,
    size_px=64,
    foreground_px=96,
)
