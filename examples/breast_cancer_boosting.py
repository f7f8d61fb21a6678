"""Is a tumour malignant? Gradient boosting with early stopping, its rounds chosen by cross-validation."""

import lightgbm as lgb
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
X_train, X_valid, y_train, y_valid = train_test_split(X_rest, y_rest, test_size=0.25, stratify=y_rest, random_state=0)

params = {"objective": "binary", "metric": ["binary_logloss", "auc"], "eta": 0.05, "num_leaves": 15, "verbose": -1}

scores = lgb.cv(
    params, lgb.Dataset(X_rest, label=y_rest), 300, nfold=5, callbacks=[lgb.early_stopping(20, verbose=False)]
)
print(f"in cross-validation best after {len(scores['valid auc-mean'])} rounds: AUC {scores['valid auc-mean'][-1]:.4f}")

train_set = lgb.Dataset(X_train, label=y_train)
valid_set = lgb.Dataset(X_valid, label=y_valid, reference=train_set)
booster = lgb.train(
    params,
    train_set,
    300,
    valid_sets=[train_set, valid_set],
    valid_names=["train", "valid"],
    callbacks=[lgb.early_stopping(20, verbose=False)],
)
auc = roc_auc_score(y_test, booster.predict(X_test))
print(f"best after {booster.best_iteration} rounds; on unseen tumours AUC {auc:.4f}")
