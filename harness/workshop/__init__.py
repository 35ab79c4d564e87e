"""What a workshop needs beside the notebooks: slides of the lessons, and notes for whoever teaches them."""
