// Everything starts, each part where the page has it.
if (data.boards.length) startChoices();
else document.documentElement.className = ""; // nothing to choose from: the plain page
startTruth();
startScatter();
startBudget();
if (data.boards.length) startAddress();
