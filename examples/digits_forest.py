"""Handwritten digits with a random forest: F1 score, and which digits it takes for one another."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import train_test_split

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(digits.data, digits.target, test_size=0.25, random_state=0)

forest = RandomForestClassifier(n_estimators=100, max_depth=12, random_state=0)
forest.fit(X_train, y_train)

y_pred = forest.predict(X_test)
print(f"F1 (macro): {f1_score(y_test, y_pred, average='macro'):.3f}")

confusion = confusion_matrix(y_test, y_pred)
np.fill_diagonal(confusion, 0)
true, predicted = np.unravel_index(confusion.argmax(), confusion.shape)
print(f"most frequent mistake: {true} taken for {predicted}, {confusion[true, predicted]} times")
