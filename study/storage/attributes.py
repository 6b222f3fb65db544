"""The names of the user attributes in the database. Their values never change, so that old studies stay readable."""

# Attributes of a study
CONFIGURATION = "configuration"  # `StudyConfig.to_dict()`
FINGERPRINT = "fingerprint"  # what makes two runs the same study
IDENTITY = "identity"  # a random number: a deleted study's name may be used again
TRIALS = "trials"  # how many the last run asked for

# Attributes of the study that confirms another one
SUFFIX = "/confirmation"  # of its name, after the name of the search
CONFIRMS = "confirms"  # the name of the search
CONFIRMED_IDENTITY = "confirmed_identity"  # the `IDENTITY` of the search
EXTENT = "extent"  # how much of the search was trained again
OPENINGS = "openings"  # when the test split was opened, and for what
RESULTS = "test_results"  # prefix, before a digest of what was compared: the predictions on the test texts
BASELINES = "baselines"  # prefix, before a digest of the repeat: the baselines and their predictions on the test texts
REFIT_RESULTS = "refit_results"  # prefix, likewise: those of the winner's refits, and of a baseline on their texts
ENSEMBLE_RESULTS = "ensemble_results"  # prefix, likewise: the predictions of an ensemble with other studies
OUTCOME = "outcome"  # the result of the last report

# Attributes of a trial
WORKER = "worker"  # the name of the worker that runs it
BESIDE_OTHERS = "beside_others"  # set if it started while another trial ran
FAILURE = "failure"  # why it failed
WITHDRAWN = "withdrawn"  # set if it failed only because no report asks for it any more
CRASHES = "deaths"  # [epoch after step, times]: how often its worker has crashed in the same epoch
REPEAT = "draw"  # the number of the repeat that it is trained on
WEIGHTS = "weights"  # the SHA-256 of the file with its weights
AUDITS = "audits"  # instead of a repeat: the number of the pruned trial that it finishes
