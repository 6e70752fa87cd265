"""For every rule of a gate a spec that it accepts and one that it refuses."""

from tests.spec_parts import JOB, QUERY, STEP_GATE, Case, check, compare, gate, job, query, statistic

GATE_RULES = (
    Case(
        f"{STEP_GATE}.job.env[0]",
        "`name` must not start with 'MILLGATE_': these variables are set by Millgate",
        accepted=(job(image="x:1", env=[{"name": "MY_MILLGATE_X", "value": "x"}]),),
        refused=(job(image="x:1", env=[{"name": "MILLGATE_STEP", "value": "x"}]),),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`maxRatio` must be greater than or equal to 1",
        accepted=(compare(maxRatio="1"), compare(maxRatio="1.0"), compare(maxRatio="2.5")),
        refused=(compare(maxRatio="0.99"), compare(maxRatio="0")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "exactly one of `preset` or `statistic` must be specified",
        accepted=(compare(), statistic("Rate", numerator="errors", denominator="requests")),
        refused=(
            gate(type="Compare", compare={}),
            statistic("Rate", preset="Errors", numerator="errors", denominator="requests"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`numerator` and `denominator` must be specified when `statistic` is 'Rate' or 'Mean', and only then",
        accepted=(
            statistic("Rate", numerator='requests{code=~"5.."}', denominator="requests"),
            statistic("Mean", numerator="tokens_total", denominator="requests"),
        ),
        refused=(
            statistic("Rate"),
            statistic("Mean", numerator="tokens_total"),
            statistic("Rate", denominator="requests"),
            statistic("Exceedance", histogram="seconds", numerator="a", denominator="b"),
            compare(numerator="a", denominator="b"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`histogram` must be specified when `statistic` is 'Exceedance' or 'Distribution', and only then",
        accepted=(statistic("Exceedance", histogram="seconds"), statistic("Distribution", histogram="score")),
        refused=(
            statistic("Exceedance"),
            statistic("Distribution"),
            statistic("Rate", numerator="a", denominator="b", histogram="seconds"),
            compare(histogram="seconds"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`passRatio` must be greater than `maxRatio`",
        accepted=(
            compare(passRatio="1.3"),
            compare(maxRatio="1.5", passRatio="2"),
            compare(reference="Before", passRatio="2.1"),
        ),
        refused=(
            compare(passRatio="1.2"),
            compare(maxRatio="2", passRatio="2"),
            compare(reference="Before", passRatio="2"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`maxRatio` and `passRatio` may not be specified for a distribution: its margin is `minEffect`",
        accepted=(
            compare(preset="Predictions", minEffect="0.1"),
            statistic("Distribution", histogram="score", minEffect="0.1"),
        ),
        refused=(
            compare(preset="Predictions", maxRatio="1.5"),
            compare(preset="Features", passRatio="2"),
            statistic("Distribution", histogram="score", maxRatio="1.5"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`quantile` may not be specified unless `preset` is 'Latency' or `statistic` is 'Exceedance'",
        accepted=(
            compare(preset="Latency", quantile="0.9"),
            compare(preset="Latency"),
            statistic("Exceedance", histogram="seconds", quantile="0.9"),
        ),
        refused=(compare(quantile="0.9"), statistic("Distribution", histogram="score", quantile="0.9")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`reference` must not be 'Training' unless `preset` is 'Predictions' or 'Features'",
        accepted=(
            compare(preset="Predictions", reference="Training"),
            compare(preset="Features", reference="Training"),
            compare(reference="Baseline"),
        ),
        refused=(compare(reference="Training"), statistic("Distribution", histogram="score", reference="Training")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`quantile` must be greater than or equal to 0.5 and less than 1",
        accepted=(compare(preset="Latency", quantile="0.5"), compare(preset="Latency", quantile="0.9999")),
        refused=(compare(preset="Latency", quantile="0.49"), compare(preset="Latency", quantile="1")),
    ),
    Case(
        f"{STEP_GATE}.query",
        "at least one of `min` or `max` must be specified",
        accepted=(query(min="0"), query(max="-1.5")),
        refused=(query(),),
    ),
    Case(
        f"{STEP_GATE}.query",
        "`min` must be less than or equal to `max`",
        accepted=(query(min="0.1", max="0.1"), query(min="-2", max="-1")),
        refused=(query(min="10", max="9"), query(min="-1", max="-2")),
    ),
    Case(
        STEP_GATE,
        "`onFail` may not be specified when `type` is 'Approval'",
        accepted=(
            gate(type="Job", job=JOB["job"], onFail="Hold"),
            gate(type="Query", query=QUERY["query"], onFail="Alert"),
        ),
        refused=(gate(type="Approval", onFail="Hold"),),
    ),
    Case(
        STEP_GATE,
        "`compare` must be specified when `type` is 'Compare', and only then",
        accepted=(gate(type="Compare", compare={"preset": "Errors"}),),
        refused=(gate(type="Compare"), gate(type="Approval", compare={"preset": "Errors"})),
    ),
    Case(
        STEP_GATE,
        "`query` must be specified when `type` is 'Query', and only then",
        accepted=(gate(type="Query", query=QUERY["query"]),),
        refused=(gate(type="Query"), gate(type="Approval", query=QUERY["query"])),
    ),
    Case(
        STEP_GATE,
        "`job` must be specified when `type` is 'Job', and only then",
        accepted=(gate(type="Job", job=JOB["job"]),),
        refused=(gate(type="Job"), gate(type="Approval", job=JOB["job"])),
    ),
    Case(
        f"{STEP_GATE}.job",
        "exactly one of `preset` or `image` must be specified",
        accepted=(job(image="a/b:1"), check("SchemaCompatibility")),
        refused=(job(), job(image="a/b:1", preset="Accuracy")),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`command` and `args` may not be specified beside `preset`",
        accepted=(
            job(image="a/b:1", command=["c"], args=["d"]),
            job(preset="Accuracy", env=[{"name": "A", "value": "1"}], deadlineSeconds=60),
        ),
        refused=(job(preset="Accuracy", command=["c"]), job(preset="Accuracy", args=["d"])),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options` and `dataClaim` may not be specified without `preset`",
        accepted=(job(preset="Accuracy", options={"data": "/data/rows.csv"}, dataClaim="rows"),),
        refused=(
            job(image="a/b:1", options={"data": "/data/rows.csv"}),
            job(image="a/b:1", options={"data": "/data/rows.csv"}, dataClaim="rows"),
        ),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options` must have no name but those that docs/checks.md has for the preset",
        accepted=(
            check("SmokePredictions", absoluteTolerance="0.001"),
            check("Accuracy", margin="0.02", label="fraud"),
            check("Fairness", segmentBy="country", minSelectionRatio="0.9"),
            check("LatencyBenchmark", peakRequestsPerSecond="40", maxRatio="1.2"),
            check("MemoryFootprint", maxShareOfLimit="0.7"),
        ),
        refused=(
            check("SchemaCompatibility", margin="0.02"),
            check("Accuracy", segmentBy="country"),
            check("Fairness", segmentBy="country", maxRatio="2"),
            check("MemoryFootprint", quantile="0.5"),
        ),
    ),
    Case(
        f"{STEP_GATE}.job.options",
        "keys must be no more than 32 characters and match",
        accepted=(check("MemoryFootprint", repeats="5"),),
        refused=(check("MemoryFootprint", **{"max-ratio": "2"}), check("MemoryFootprint", **{"m" * 33: "2"})),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options.segmentBy` must be specified when `preset` is 'Fairness'",
        accepted=(check("Fairness", segmentBy="country"),),
        refused=(check("Fairness"), check("Fairness", margin="0.02")),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options.data` must begin with '/data/' when `dataClaim` is specified",
        accepted=(job(preset="Accuracy", options={"data": "/data/rows.csv"}, dataClaim="rows"),),
        refused=(
            job(preset="Accuracy", dataClaim="rows"),
            job(preset="Accuracy", options={"margin": "0.1"}, dataClaim="rows"),
            job(preset="Accuracy", options={"data": "rows.csv"}, dataClaim="rows"),
        ),
    ),
)
