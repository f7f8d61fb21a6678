"""How a disease progresses within a year: support-vector regression, its settings found by a grid search."""

from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

X, y = load_diabetes(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=1)

pipeline = Pipeline([("scale", StandardScaler()), ("svr", SVR())])
grid = {"svr__kernel": ["linear", "rbf"], "svr__C": [1, 10, 100], "svr__epsilon": [1, 10]}
search = GridSearchCV(pipeline, grid, scoring="neg_root_mean_squared_error", cv=5, n_jobs=2)
search.fit(X_train, y_train)

y_pred = search.predict(X_test)
print(f"best settings: {search.best_params_}")
print(f"RMSE in cross-validation: {-search.best_score_:.1f}")
print(f"hold-out: R2 {r2_score(y_test, y_pred):.3f}, mean absolute error {mean_absolute_error(y_test, y_pred):.1f}")
