"""Which iris is it? A scaler and a logistic regression, judged on flowers that they have not seen."""

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=42)

model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=200))
model.fit(X_train, y_train)

accuracy = accuracy_score(y_test, model.predict(X_test))
loss = log_loss(y_test, model.predict_proba(X_test))
print(f"accuracy {accuracy:.3f}, log loss {loss:.3f} on {len(y_test)} flowers")
