"""From a study's texts to a trained model: what the models fit, predict and weigh in common."""
