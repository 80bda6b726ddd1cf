"""Names of the controls that boards and budgets show, what is known of those added here, and which criteria are learnt."""

REPLICATES = {"replicate": 1.0, "reversed_replicate": -1.0}  # with the sign of the half that they score by
SIZE_DEPTH = "size_depth"
UNIFORM = "uniform"  # of budgets: every layer gets the same
ADDED = {  # with what is known of them
    "replicate": {
        "what": "Half of the measurement, judged on the other half, by Spearman's correlation on the whole truth.",
        "formula": "the measured value of the layer in half of the draws and examples",
        "track": "level_aware",
        "source": "control",
    },
    "reversed_replicate": {
        "what": "The opposite of replicate: what a ranking that is upside down reaches.",
        "formula": "the measured value of the layer in half of the draws and examples, with the sign turned",
        "track": "level_aware",
        "source": "control",
    },
    SIZE_DEPTH: {
        "what": "Predicts the ranking from sizes and positions, learnt on validation networks of other families.",
        "formula": "ridge regression of true ranks on ranks of parameters, position and multiply-accumulates",
        "track": "blind",
        "source": "control; Hoerl and Kennard 1970",
    },
}
FROM_TABLES = ("constant", "depth", "first_last", "macs", "parameters", "random")  # by a truth's layers alone
TRIVIAL = ("constant", "depth", "depth_backward", "first_last", "macs", "parameters", "random")
MEASURING = ("measured_drop_32", "measured_drop_128", "measured_drop_128_by_level", "measured_drop_512")
CONTROLS = (*TRIVIAL, *MEASURING, *ADDED)
LEARNED = ("learned_blend",)  # from the truth of validation networks: what they reach on these is no test
