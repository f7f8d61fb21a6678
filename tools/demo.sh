#!/bin/sh
# What `make demo` shows: examples/ has no line of autotrack in it, and yet their training is recorded.
# Arguments: the folder to work in, which has an (empty) folder .autotrack. Environment: BIN, where python is.
set -eu

folder=$1
shown=$folder
cd "$folder"
unset AUTOTRACK_TRACKING_URI AUTOTRACK_DISABLE AUTOTRACK_EXPERIMENT

show() {
    printf '\n$ %s\n' "$*"
    program=$1
    shift
    "$BIN/$program" "$@"
}

show python -m autotrack ../examples/iris_pipeline.py
show python -m autotrack ../examples/digits_forest.py
show python -m autotrack ../examples/diabetes_search.py
show autotrack ls
show autotrack show @

cat <<END

The three scripts have no line of autotrack in them; all that they trained is in $shown/.autotrack.
Next, with your own script, in a folder of your own:

    $BIN/python -m autotrack train.py
    $BIN/autotrack ls
    $BIN/autotrack show @

README.md says what is recorded and how to choose.
END
