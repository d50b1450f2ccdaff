// A second statistics script, which site.js adds to the page a moment after it was loaded.
window.demoRan?.("later.js", "it was added to the page after loading, and the gate found it all the same");
