// Stands for the file of an analytics service. It says when it ran; about consent it knows nothing.
(window.bench ??= {}).file = performance.now();
