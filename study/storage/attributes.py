"""The names under which a database holds what Optuna has no field for. They keep their values: old studies are read."""

# Attributes of a study
CONFIGURATION = "configuration"  # `StudyConfig.to_dict()`
FINGERPRINT = "fingerprint"  # what makes two runs the same study
IDENTITY = "identity"  # a random number: the name of a deleted study may come again
TRIALS = "trials"  # how many the last run has asked for

# Attributes of the study that confirms another one
SUFFIX = "/confirmation"  # its name ends so, after the name of the search
CONFIRMS = "confirms"  # the name of the search
CONFIRMED_IDENTITY = "confirmed_identity"  # the `IDENTITY` of the search
EXTENT = "extent"  # how much of the search was trained again
OPENINGS = "openings"  # when the test split was opened, and for what
RESULTS = "test_results"  # followed by a digest of what was compared: the predictions on the test texts
OUTCOME = "outcome"  # what the last report has found

# Attributes of a trial
WORKER = "worker"  # the name of the worker that runs it
BESIDE_OTHERS = "beside_others"  # set if it started while another one ran
FAILURE = "failure"  # why it has failed
WITHDRAWN = "withdrawn"  # set if it has failed only because nothing asks for it any more
CRASHES = "deaths"  # [epoch after step, times]: how often its worker has crashed in the same epoch
REPEAT = "draw"  # the number of the repeat that it is trained on
WEIGHTS = "weights"  # the SHA-256 of the file that holds what it has learned
AUDITS = "audits"  # in the place of a repeat: the number of the pruned trial that it finishes
